"""Contrastive preference optimization: DPO without a reference, held in place by learning the chosen answers too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from executor.training import answer_stage
from executor.training.answer_stage import LOSS, AnswerStage
from executor.training.method import Fault, Method
from executor.training.trainer_arguments import CPO
from planner.effects import Effect, setting
from planner.limits import fraction, not_negative, positive
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run

FIELDS = ("beta", "loss_type", "cpo_alpha", "label_smoothing", "disable_dropout")


@frozen
class Cpo(AnswerStage):
    """The fields of `method = "cpo"`."""

    method: Literal["cpo"] = setting("cpo", effect=Effect.REBUILD, why="the training is another")
    beta: float = setting(0.1, effect=Effect.REBUILD, why=LOSS, validator=positive)
    """How sharply the likelihoods of both answers are told apart."""
    loss_type: Literal["sigmoid", "hinge", "ipo"] = setting("sigmoid", effect=Effect.REBUILD, why=LOSS)
    cpo_alpha: float = setting(1.0, effect=Effect.REBUILD, why=LOSS, validator=not_negative)
    """How much the chosen answer itself counts."""
    label_smoothing: float = setting(0.0, effect=Effect.REBUILD, why=LOSS, validator=fraction)
    """How likely a preference is the wrong way round."""


def faults(stage: Cpo) -> Iterator[Fault]:
    """Only one of the losses has smoothing."""
    yield from answer_stage.faults(stage)
    if stage.label_smoothing and stage.loss_type != "sigmoid":
        yield "label_smoothing", f"the loss {stage.loss_type} has none", 'Remove it, or use loss_type = "sigmoid".'


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer for pairs of answers, without a reference."""
    from executor.training.experimental_trainers import paired, quietly

    quietly()
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    own = {"max_length": None, **{name: run.settings[name] for name in FIELDS}}
    return paired(run, CPOTrainer, CPOConfig(**{**own, **run.arguments()}))


METHOD = Method(
    name="cpo",
    specification=Cpo,
    trainer_arguments=CPO,
    train=trainer,
    layout="pairs",
    faults=faults,
)
