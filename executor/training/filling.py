"""Rows that teach nothing, for ranks that need equally many: accelerate would show some of the first rows twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define

from executor.data.examples import IGNORED

FILLER = {"input_ids": [0], "labels": [IGNORED], "seq_lengths": [1]}
"""A row without a trained token: it counts for nothing in a loss that is a mean over trained tokens."""


def lacking(rows: int, micro_batch_size: int, ranks: int) -> int:
    """How many rows an epoch lacks for every rank to get equally many full micro-batches; 0 for one rank alone."""
    return -rows % (micro_batch_size * ranks) if ranks > 1 else 0


def can_fill(rows: Any) -> bool:  # noqa: ANN401  datasets has no types
    """Whether a row without labels is possible: pairs of answers, for instance, always count."""
    return set(rows.column_names) == FILLER.keys()


def with_filler(rows: Any) -> Any:  # noqa: ANN401  datasets has no types
    """The rows and, behind them, one that teaches nothing."""
    from datasets import Dataset, concatenate_datasets

    return concatenate_datasets([rows, Dataset.from_list([FILLER], features=rows.features)])


def fill(trainer: Any, rows: int, multiple: int) -> None:  # noqa: ANN401  transformers has no types
    """Have a trainer whose rows are followed by a filler train on all others as if it had none, then on that.

    In each epoch the filler comes so often that the whole is a multiple; before it the order is that of one process.
    """
    make = trainer.get_train_dataloader

    def filled() -> Any:  # noqa: ANN401  torch's
        loader = make()
        batches = loader.batch_sampler.batch_sampler
        batches.sampler.data_source = range(rows)
        batches.sampler = Filled(batches.sampler, rows, multiple)
        return loader

    trainer.get_train_dataloader = filled


@define(eq=False)
class Filled:
    """A sampler of torch's kind: what another one samples, then the row behind all rows until it is a multiple."""

    sampler: Any
    rows: int
    multiple: int

    def __iter__(self) -> Iterator[int]:
        """The numbers of the rows of an epoch."""
        yield from self.sampler
        yield from [self.rows] * (len(self) - self.rows)

    def __len__(self) -> int:
        """All rows of an epoch, fillers included."""
        return self.rows + -self.rows % self.multiple

    def set_epoch(self, epoch: int) -> None:
        """Shuffle as in this epoch."""
        self.sampler.set_epoch(epoch)
