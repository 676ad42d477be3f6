"""Rows are full, nothing is lost, and the same lengths give the same rows."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.tokens import packing, row_groups

np = pytest.importorskip("numpy")

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


@pytest.mark.parametrize(("mean", "capacity"), [(300, 2048), (100, 512), (800, 2048), (300, 8192)])
def test_real_lengths_leave_nearly_no_padding(mean: int, capacity: int) -> None:
    sizes = lognormal(100_000, mean, capacity)
    rows = [row for start, end in grouped(sizes, capacity) for row in pack(sizes[start:end], capacity)]
    assert fill(sizes, rows, capacity) > 0.999


def grouped(sizes: list[int], capacity: int) -> list[tuple[int, int]]:
    lengths = np.array(sizes, np.int32)
    return list(row_groups.groups(lengths, lengths // 2, capacity))


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of few documents; each number that decides plays a part."""
    small = {"_LEAST_ROWS": 2, "_LEAST_DOCUMENTS": 3, "_MORE_ROWS": 3, "_MOST_MORE_ROWS": 9, "_MOST_DOCUMENTS": 40}
    for name, value in small.items():
        monkeypatch.setattr(row_groups, name, value)


@pytest.mark.usefixtures("small_groups")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, CAPACITY), max_size=200), st.integers(1, 50))
def test_every_document_is_in_one_group_whatever_is_looked_at_together(sizes: list[int], at_once: int) -> None:
    found = grouped(sizes, CAPACITY)
    assert [at for start, end in found for at in range(start, end)] == list(range(len(sizes)))
    for start, end in found[:-1]:
        assert 3 <= end - start <= 40
        assert end - start == 40 or 2 * CAPACITY <= sum(sizes[start:end]) <= 13 * CAPACITY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_groups, "_AT_ONCE", at_once)
        assert grouped(sizes, CAPACITY) == found


EDITS: Mapping[str, Callable[[list[int]], list[int]]] = {
    "appended": lambda sizes: [*sizes, 5, 6, 7],
    "put in front": lambda sizes: [5, *sizes],
    "deleted": lambda sizes: [*sizes[:500], *sizes[510:]],
    "changed": lambda sizes: [*sizes[:500], 1, *sizes[501:]],
}


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_changes_the_groups_around_it_and_no_others(edit: Callable[[list[int]], list[int]]) -> None:
    sizes = lognormal(1000, 20, CAPACITY)
    before, after = ({tuple(one[a:b]) for a, b in grouped(one, CAPACITY)} for one in (sizes, edit(sizes)))
    assert len(before) > 50
    assert len(before - after) <= 3


@pytest.mark.usefixtures("small_groups")
def test_documents_that_are_all_alike_are_grouped_by_their_number() -> None:
    before, after = grouped([7] * 1000, CAPACITY), grouped([7] * 1001, CAPACITY)
    assert len(before) == 25
    assert before == after[:25]
