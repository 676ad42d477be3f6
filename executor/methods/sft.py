"""Supervised fine-tuning: the next token of the labelled ones, through TRL's SFTTrainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from executor import trainers
from executor.method import Method
from executor.stage import Stage
from executor.trainer_arguments import SFT
from planner.effects import Effect, setting

if TYPE_CHECKING:
    from executor.training import Run


@frozen
class Sft(Stage):
    """The fields of `method = "sft"`: those of every stage."""

    method: Literal["sft"] = setting("sft", effect=Effect.REBUILD, why="the training is another")


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer that takes the token rows as they are: nothing is rendered, cut, packed or masked again."""
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    rows = {"max_length": None, "packing": False, "dataset_kwargs": {"skip_prepare_dataset": True}}
    made = trainers.common(run)
    collator = run.collator(made["processing_class"])
    return trainers.ready(SFTTrainer(args=SFTConfig(**{**rows, **run.arguments()}), data_collator=collator, **made))


METHOD = Method(name="sft", specification=Sft, trainer_arguments=SFT, train=trainer)
