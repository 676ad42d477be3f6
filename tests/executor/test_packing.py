"""Rows are full, nothing is lost, and the same lengths give the same rows."""

from __future__ import annotations

import math
import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.tokens import packing

pytest.importorskip("numpy")

CAPACITY = 64
lengths = st.lists(st.integers(0, CAPACITY), max_size=200)


def pack(sizes: list[int], capacity: int) -> list[list[int]]:
    rows = packing.pack(sizes, capacity)
    places = iter(rows.places.tolist())
    return [list(islice(places, count)) for count in rows.counts.tolist()]


def lognormal(count: int, mean: float, capacity: int) -> list[int]:
    generator = random.Random(7)  # noqa: S311  no secret
    location = math.log(mean) - 0.5
    return [min(capacity, max(1, int(generator.lognormvariate(location, 1.0)))) for _ in range(count)]


def fill(sizes: list[int], rows: list[list[int]], capacity: int) -> float:
    return sum(sizes) / (len(rows) * capacity)


def one_by_one(sizes: list[int], capacity: int) -> list[list[int]]:
    """By the textbook: for each document look at every row. Of rows with equal room, the one that changed last."""
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []
    for time, place in enumerate(sorted(range(len(sizes)), key=lambda at: (-sizes[at], at))):
        fitting = [(room, age, row) for row, (room, age) in enumerate(rooms) if room >= sizes[place]]
        if not fitting:
            rows.append([])
            rooms.append((capacity, 0))
        row = min(fitting)[2] if fitting else len(rows) - 1
        rows[row].append(place)
        rooms[row] = (rooms[row][0] - sizes[place], -time)
    return rows


@settings(deadline=None)
@given(lengths)
def test_every_document_is_in_one_row_and_no_row_is_over_capacity(sizes: list[int]) -> None:
    rows = pack(sizes, CAPACITY)
    assert sorted(place for row in rows for place in row) == list(range(len(sizes)))
    assert all(row and sum(sizes[place] for place in row) <= CAPACITY for row in rows)


@settings(deadline=None)
@given(lengths)
def test_rows_are_those_of_best_fit_decreasing(sizes: list[int]) -> None:
    assert pack(sizes, CAPACITY) == one_by_one(sizes, CAPACITY)


@settings(deadline=None)
@given(lengths)
def test_rows_begin_with_their_longest_in_the_order_of_the_longest(sizes: list[int]) -> None:
    rows = pack(sizes, CAPACITY)
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), key=lambda place: (-sizes[place], place))
    assert all(row == sorted(row, key=lambda place: (-sizes[place], place)) for row in rows)


def test_a_known_packing() -> None:
    assert pack([4, 8, 1, 4, 2, 1], 10) == [[1, 2, 5], [0, 3, 4]]
    assert pack([], 10) == []
    assert pack([0, 0, 10], 10) == [[2, 0, 1]]


@pytest.mark.parametrize("size", [11, -1])
def test_a_length_that_cannot_fit_is_an_error(size: int) -> None:
    with pytest.raises(ValueError, match=f"a document of {size} tokens does not fit into 10"):
        pack([3, size], 10)


def test_real_lengths_leave_nearly_no_padding() -> None:
    sizes = lognormal(200_000, 300, 2048)
    assert fill(sizes, pack(sizes, 2048), 2048) > 0.999


@settings(deadline=None)
@given(lengths, st.integers(1, 50))
def test_documents_are_packed_with_those_near_them(sizes: list[int], together: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_TOGETHER", together)
        rows = pack(sizes, CAPACITY)
    parts = [sizes[start : start + together] for start in range(0, len(sizes), together)]
    expected = [(at, one_by_one(part, CAPACITY)) for at, part in enumerate(parts)]
    assert rows == [[at * together + place for place in row] for at, part in expected for row in part]
