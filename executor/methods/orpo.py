"""Odds-ratio preference optimization: chosen answers are learnt, and made likelier than rejected ones, in one loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from executor.training import answer_stage
from executor.training.answer_stage import LOSS, AnswerStage
from executor.training.method import Method
from executor.training.trainer_arguments import ORPO
from planner.effects import Effect, setting
from planner.limits import not_negative
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run


@frozen
class Orpo(AnswerStage):
    """The fields of `method = "orpo"`."""

    method: Literal["orpo"] = setting("orpo", effect=Effect.REBUILD, why="the training is another")
    beta: float = setting(0.1, effect=Effect.REBUILD, why=LOSS, validator=not_negative)
    """How much the odds ratio counts beside the chosen answer itself."""


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer for pairs of answers, without a reference."""
    from executor.training.experimental_trainers import paired, quietly

    quietly()
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    settings = run.settings
    own = {"beta": settings["beta"], "disable_dropout": settings["disable_dropout"], "max_length": None}
    return paired(run, ORPOTrainer, ORPOConfig(**{**own, **run.arguments()}))


METHOD = Method(
    name="orpo",
    specification=Orpo,
    trainer_arguments=ORPO,
    train=trainer,
    layout="pairs",
    faults=answer_stage.faults,
)
