"""An order of rows in which those of about the same length come together, from the seed and the epoch alone.

transformers' own draws from torch's generator, which a run that goes on from a checkpoint has in another state: it
would see some rows twice and never others. It also groups what one process sees, and not what a step does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

from attrs import define


@define(eq=False)
class LengthOrder:
    """A sampler of torch's kind."""

    lengths: list[int]
    batch_size: int
    """Rows of an optimizer step, over all processes and micro-batches."""
    seed: int
    data_source: Sized
    """The rows to sample, from the first; there may be fewer than lengths."""
    epoch: int = 0

    def __iter__(self) -> Iterator[int]:
        """The numbers of the rows of an epoch."""
        import torch
        from transformers import trainer_pt_utils

        grouped: Any = trainer_pt_utils.get_length_grouped_indices
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order: list[int] = grouped(self.lengths[: len(self)], self.batch_size, generator=generator)
        return iter(order)

    def __len__(self) -> int:
        """All rows of an epoch."""
        return len(self.data_source)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch next."""
        self.epoch = epoch


def group_by_length(trainer: Any, settings: Mapping[str, Any]) -> None:  # noqa: ANN401  transformers has no types
    """Have a trainer see its rows in such an order."""
    import pyarrow.compute as pc

    seed = settings["seed"] if settings["data_seed"] is None else settings["data_seed"]

    def sampler(rows: Any) -> LengthOrder:  # noqa: ANN401  datasets has no types
        lengths: list[int] = pc.list_value_length(rows.data.column("input_ids")).to_pylist()
        return LengthOrder(lengths, settings["batch_size"], seed, rows)

    trainer._get_train_sampler = sampler  # noqa: SLF001  what transformers asks for it
