"""Rows that teach nothing, where ranks need equally many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.training.filling import Filled, lacking


@pytest.mark.parametrize(
    ("rows", "micro", "ranks", "count"), [(12, 2, 2, 0), (10, 2, 2, 2), (9, 2, 2, 3), (1, 4, 8, 31), (9, 4, 1, 0)]
)
def test_how_many_rows_an_epoch_lacks(rows: int, micro: int, ranks: int, count: int) -> None:
    assert lacking(rows, micro, ranks) == count


@given(rows=st.integers(1, 100), multiple=st.integers(1, 16), order=st.randoms())
def test_every_row_is_seen_once_and_then_the_filler(rows: int, multiple: int, order: object) -> None:
    sampled = list(range(rows))
    order.shuffle(sampled)  # type: ignore[attr-defined]
    filled = Filled(sampled, rows, multiple)
    seen = list(filled)
    assert seen[:rows] == sampled
    assert set(seen[rows:]) <= {rows}
    assert len(seen) == len(filled)
    assert len(seen) % multiple == 0
    assert len(seen) < rows + multiple
