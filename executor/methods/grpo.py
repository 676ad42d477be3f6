"""Group relative policy optimization: of several answers to a prompt, those above the mean reward become likelier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from executor.training import reward_stage
from executor.training.answer_stage import LOSS
from executor.training.method import Method
from executor.training.reward_stage import RewardStage
from executor.training.trainer_arguments import GRPO
from planner.effects import Effect, setting
from planner.limits import not_negative, positive
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run


@frozen
class Grpo(RewardStage):
    """The fields of `method = "grpo"`."""

    method: Literal["grpo"] = setting("grpo", effect=Effect.REBUILD, why="the training is another")
    beta: float = setting(0.0, effect=Effect.REBUILD, why=LOSS, validator=not_negative)
    """How strongly the model is held to what it was before; 0 does without that."""
    loss_type: Literal["dapo", "grpo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"] = setting(
        "dapo", effect=Effect.REBUILD, why=LOSS
    )
    scale_rewards: Literal["group", "batch", "none"] = setting("group", effect=Effect.REBUILD, why=LOSS)
    """By whose standard deviation rewards are divided."""
    epsilon: float = setting(0.2, effect=Effect.REBUILD, why=LOSS, validator=positive)
    """How far the likelihood of a token may move before it no longer counts."""

    @property
    def is_referred(self) -> bool:
        """Only with a beta."""
        return bool(self.beta)


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer that lets the model answer, and learns from rewards."""
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    own = {name: run.settings[name] for name in ("loss_type", "scale_rewards", "epsilon")}
    arguments = GRPOConfig(**{**reward_stage.passed_on(run.settings), **own, **run.arguments()})
    return reward_stage.made(run, GRPOTrainer, arguments)


METHOD = Method(
    name="grpo",
    specification=Grpo,
    trainer_arguments=GRPO,
    train=trainer,
    layout="prompts",
    faults=reward_stage.faults,
)
