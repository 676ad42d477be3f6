"""Reward models: a score for an answer, higher for the chosen one of a pair, through RewardTrainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from executor.training import answer_stage, trainers
from executor.training.answer_stage import LOSS, AnswerStage
from executor.training.method import Method
from executor.training.trainer_arguments import REWARD
from planner.effects import Effect, setting
from planner.limits import not_negative
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run


@frozen
class Reward(AnswerStage):
    """The fields of `method = "reward"`."""

    judges: ClassVar[bool] = True

    method: Literal["reward"] = setting("reward", effect=Effect.REBUILD, why="the training is another")
    center_rewards_coefficient: float = setting(0.0, effect=Effect.REBUILD, why=LOSS, validator=not_negative)
    """How strongly scores are drawn towards zero."""


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer of a model with one score in the place of the next token."""
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer

    from executor.models.loading import padding_id
    from executor.training.classifiers import load_classifier

    settings = run.settings
    own = {
        "center_rewards_coefficient": settings["center_rewards_coefficient"] or None,
        "disable_dropout": settings["disable_dropout"],
        "max_length": None,
    }
    made = trainers.common(run, load_classifier(run, labels=1), "SEQ_CLS")
    pad = DataCollatorForPreference(pad_token_id=padding_id(made["processing_class"]))

    def collate(rows: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401  a batch of tensors
        """Scores are of a whole text: each answer with its prompt."""
        return pad([{name: one["prompt_ids"] + one[name] for name in ("chosen_ids", "rejected_ids")} for one in rows])

    return trainers.ready(RewardTrainer(args=RewardConfig(**{**own, **run.arguments()}), data_collator=collate, **made))


METHOD = Method(
    name="reward",
    specification=Reward,
    trainer_arguments=REWARD,
    train=trainer,
    layout="pairs",
    faults=answer_stage.faults,
)
