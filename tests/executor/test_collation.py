"""Batches written out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from executor.training.collation import Collator

pytestmark = pytest.mark.torch

NO = -100
PAD = 9


def _batch(rows: Sequence[Any], *, packed: bool) -> dict[str, list[list[int]]]:
    import torch

    batch = Collator(PAD, packed)(rows)
    assert {one.dtype for one in batch.values()} == {torch.long}
    return {name: one.tolist() for name, one in batch.items()}


def test_single_documents_are_padded_on_the_right_and_masked() -> None:
    rows = [
        {"input_ids": [1, 2, 3], "labels": [NO, 2, 3], "seq_lengths": [3]},
        {"input_ids": [4], "labels": [4], "seq_lengths": [1]},
        {"input_ids": [5, 6], "labels": [5, NO], "seq_lengths": [2]},
    ]
    assert _batch(rows, packed=False) == {
        "input_ids": [[1, 2, 3], [4, PAD, PAD], [5, 6, PAD]],
        "labels": [[NO, 2, 3], [NO, NO, NO], [NO, NO, NO]],
        "attention_mask": [[1, 1, 1], [1, 0, 0], [1, 1, 0]],
    }


def test_packed_documents_start_again_at_position_0_and_so_does_the_padding() -> None:
    rows = [
        {"input_ids": [1, 2, 3, 4, 5, 6], "labels": [1, 2, 3, 4, 5, 6], "seq_lengths": [3, 1, 2]},
        {"input_ids": [7, 8], "labels": [NO, 8], "seq_lengths": [2]},
    ]
    assert _batch(rows, packed=True) == {
        "input_ids": [[1, 2, 3, 4, 5, 6], [7, 8, PAD, PAD, PAD, PAD]],
        "labels": [[NO, 2, 3, NO, NO, 6], [NO, 8, NO, NO, NO, NO]],
        "position_ids": [[0, 1, 2, 0, 0, 1], [0, 1, 0, 1, 2, 3]],
    }


def test_a_single_row_needs_no_padding() -> None:
    row = {"input_ids": [1, 2, 3], "labels": [1, 2, 3], "seq_lengths": [2, 1]}
    assert _batch([row], packed=True) == {
        "input_ids": [[1, 2, 3]],
        "labels": [[NO, 2, NO]],
        "position_ids": [[0, 1, 0]],
    }


@pytest.mark.parametrize(("multiple", "width"), [(1, 3), (2, 4), (3, 3), (64, 64)])
def test_widths_are_a_multiple_of_what_is_asked_for(multiple: int, width: int) -> None:
    rows = [{"input_ids": [1] * length, "labels": [1] * length, "seq_lengths": [length]} for length in (3, 2)]
    for packed in (False, True):
        assert {one.shape for one in Collator(PAD, packed, multiple)(rows).values()} == {(2, width)}


def test_rows_are_left_as_they_are() -> None:
    row = {"input_ids": [1, 2], "labels": [1, 2], "seq_lengths": [2]}
    Collator(PAD, packed=False)([row, {"input_ids": [1, 2, 3], "labels": [1, 2, 3], "seq_lengths": [3]}])
    assert row == {"input_ids": [1, 2], "labels": [1, 2], "seq_lengths": [2]}
