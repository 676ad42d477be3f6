"""Simple preference optimization: the mean likelihood of chosen tokens leads that of rejected ones by a margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from executor.training import answer_stage
from executor.training.answer_stage import LOSS, AnswerStage
from executor.training.method import Method
from executor.training.trainer_arguments import CPO
from planner.effects import Effect, setting
from planner.limits import fraction, not_negative, positive
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run

FIELDS = ("beta", "simpo_gamma", "cpo_alpha", "label_smoothing", "disable_dropout")


@frozen
class Simpo(AnswerStage):
    """The fields of `method = "simpo"`; the defaults of beta and gamma lie where its paper found good ones."""

    method: Literal["simpo"] = setting("simpo", effect=Effect.REBUILD, why="the training is another")
    beta: float = setting(2.0, effect=Effect.REBUILD, why=LOSS, validator=positive)
    """How sharply the likelihoods of both answers are told apart."""
    simpo_gamma: float = setting(1.0, effect=Effect.REBUILD, why=LOSS, validator=not_negative)
    """The margin by which the chosen answer is to lead."""
    cpo_alpha: float = setting(0.0, effect=Effect.REBUILD, why=LOSS, validator=not_negative)
    """How much the chosen answer itself counts; above 0 it is CPO-SimPO."""
    label_smoothing: float = setting(0.0, effect=Effect.REBUILD, why=LOSS, validator=fraction)
    """How likely a preference is the wrong way round."""


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer for pairs of answers, without a reference: TRL has it as a loss of its CPOTrainer."""
    from executor.training.experimental_trainers import paired, quietly

    quietly()
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    own = {"max_length": None, "loss_type": "simpo", **{name: run.settings[name] for name in FIELDS}}
    return paired(run, CPOTrainer, CPOConfig(**{**own, **run.arguments()}))


METHOD = Method(
    name="simpo",
    specification=Simpo,
    trainer_arguments=CPO - {"loss_type"},
    train=trainer,
    layout="pairs",
    faults=answer_stage.faults,
)
