"""Supervised fine-tuning: the next token of the labelled ones, through TRL's SFTTrainer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from executor.training import cross_entropy, length_order, trainers
from executor.training.cross_entropy import CrossEntropy
from executor.training.method import Fault, Method
from executor.training.stage import Stage
from executor.training.trainer_arguments import SFT
from planner.effects import Effect, setting
from planner.limits import fraction
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run


@frozen
class Sft(Stage):
    """The fields of `method = "sft"`: those of every stage."""

    method: Literal["sft"] = setting("sft", effect=Effect.REBUILD, why="the training is another")
    label_smoothing_factor: float = setting(0.0, effect=Effect.REBUILD, why="the loss is another", validator=fraction)
    """The share of the likelihood that is wanted spread over all tokens."""
    cross_entropy: CrossEntropy = setting("auto", effect=Effect.NUMERICS, why="the same loss, rounded differently")
    """ "standard" holds all logits of a batch at once, and computes them again for the token accuracy; "chunked" does
    not, nor does "fused", by Triton on a GPU. "auto": fused if possible, else in chunks; the record says which."""
    group_by_length: bool = setting(default=False, effect=Effect.REBUILD, why="rows come in another order")
    """Rows of about the same length go through the model together, which saves padding."""


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer that takes the token rows as they are: nothing is rendered, cut, packed or masked again."""
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    rows = {
        "max_length": None,
        "packing": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "label_smoothing_factor": run.settings["label_smoothing_factor"],
    }
    made = trainers.common(run)
    collator = run.collator(made["processing_class"])
    loss = cross_entropy.arguments(run.settings)
    arguments = SFTConfig(**{**rows, **run.arguments()})
    ready = trainers.ready(SFTTrainer(args=arguments, data_collator=collator, **loss, **made))
    cross_entropy.prove(ready, run.settings)
    if run.settings["group_by_length"]:
        length_order.group_by_length(ready, run.settings)
    return ready


def faults(stage: Sft) -> Iterator[Fault]:
    """What the fields that only this method has say against others."""
    yield from cross_entropy.faults(stage)
    if stage.group_by_length and stage.sample_packing:
        yield "group_by_length", "packed rows are full, and no shorter ones are left to group", "Remove it."


METHOD = Method(name="sft", specification=Sft, trainer_arguments=SFT, train=trainer, faults=faults)
