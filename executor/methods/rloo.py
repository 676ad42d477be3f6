"""REINFORCE leave-one-out: each answer's reward is measured against the mean of the others to the same prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from executor.training import reward_stage
from executor.training.answer_stage import LOSS
from executor.training.method import Method
from executor.training.reward_stage import RewardStage
from executor.training.trainer_arguments import RLOO
from planner.effects import Effect, setting
from planner.limits import not_negative, positive
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run


@frozen
class Rloo(RewardStage):
    """The fields of `method = "rloo"`."""

    method: Literal["rloo"] = setting("rloo", effect=Effect.REBUILD, why="the training is another")
    beta: float = setting(0.05, effect=Effect.REBUILD, why=LOSS, validator=not_negative)
    """How strongly the model is held to what it was before: its divergence is taken off the reward."""
    normalize_advantages: bool = setting(default=False, effect=Effect.REBUILD, why=LOSS)
    """Whether advantages are brought to mean 0 and deviation 1 over the batch."""
    epsilon: float = setting(0.2, effect=Effect.REBUILD, why=LOSS, validator=positive)
    """How far the likelihood of an answer may move before it no longer counts."""

    @property
    def is_referred(self) -> bool:
        """Only with a beta."""
        return bool(self.beta)


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer that lets the model answer, and learns from rewards."""
    from trl.trainer.rloo_config import RLOOConfig
    from trl.trainer.rloo_trainer import RLOOTrainer

    own = {name: run.settings[name] for name in ("normalize_advantages", "epsilon")}
    arguments = RLOOConfig(**{**reward_stage.passed_on(run.settings), **own, **run.arguments()})
    return reward_stage.made(run, RLOOTrainer, arguments)


METHOD = Method(
    name="rloo",
    specification=Rloo,
    trainer_arguments=RLOO,
    train=trainer,
    layout="prompts",
    faults=reward_stage.faults,
)
