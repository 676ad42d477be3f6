"""Token rows to batches: padded on the right, packed documents told apart by positions that start again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from executor.data.examples import IGNORED
from state.values import frozen


@frozen
class Collator:
    """Turns rows (`input_ids`, `labels`, `seq_lengths`) into tensors of shape (rows, longest row).

    Rows of one document each get an attention mask. Packed rows get none: position ids that restart are how every
    attention implementation of transformers tells documents apart, and a mask beside them would switch that off
    (measured: with a mask, and with a key-value cache, documents see each other).
    """

    pad_id: int
    packed: bool
    multiple: int = 1
    """What the width of a batch is a multiple of, as some kernels like it."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """One batch."""
        import torch

        longest = max(len(row["input_ids"]) for row in rows)
        width = longest + -longest % self.multiple
        batch = {
            "input_ids": [padded(row["input_ids"], width, self.pad_id) for row in rows],
            "labels": [padded(_labels(row), width, IGNORED) for row in rows],
        }
        if self.packed:
            batch["position_ids"] = [_positions(row["seq_lengths"], width) for row in rows]
        else:
            batch["attention_mask"] = [padded([1] * len(row["input_ids"]), width, 0) for row in rows]
        return {name: torch.tensor(values, dtype=torch.long) for name, values in batch.items()}


def padded(values: Sequence[int], width: int, filler: int) -> list[int]:
    """The values, filled up on the right."""
    return [*values, *([filler] * (width - len(values)))]


def _labels(row: Mapping[str, Any]) -> list[int]:
    """The first token of a document has no predecessor in it, so it is never a target."""
    labels, start = list(row["labels"]), 0
    for length in row["seq_lengths"]:
        labels[start] = IGNORED
        start += length
    return labels


def _positions(lengths: Sequence[int], width: int) -> list[int]:
    """Positions from 0 for each document, and for the padding as one more."""
    padding = width - sum(lengths)
    return [position for length in (*lengths, padding) for position in range(length)]
