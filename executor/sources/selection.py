"""Which rows of a source are taken: conditions, duplicates, samples and weights, one row at a time.

What is drawn by chance is drawn by content: a number between 0 and 1 follows from the seed and from what a row says,
and decides about it. So rows that are added or removed change nothing for the others.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import xxhash

from executor.data.dataset_fields import Dataset, Filter
from executor.data.rows import BrokenRow, Row, row_digest
from state.canonical import Plain

Rows: TypeAlias = Iterator[Row | BrokenRow]
"""Sound and broken rows; those that are broken are passed on by everything here."""

MET_WITHOUT = ("!=", "not in")
"""The operators of conditions that a row without the field meets."""

_ABSENT = object()


def draw(row: Row, seed: int, purpose: str) -> float:
    """The row's own random number, from 0 up to 1, for one purpose."""
    hasher = xxhash.xxh3_64(f"{purpose}:{seed}:".encode())
    hasher.update(row_digest(row))
    return (hasher.intdigest() >> 11) / (1 << 53)


def selected(read: Callable[[], Rows], dataset: Dataset) -> Rows:
    """The rows that a dataset takes of what `read` reads; a sample of a fixed number reads twice."""

    def distinct() -> Rows:
        rows = (row for row in read() if isinstance(row, BrokenRow) or meets(row.values, dataset.filters))
        return _distinct(rows) if dataset.deduplicate else rows

    rows = distinct()
    if isinstance(dataset.sample, int):
        rows = _sample(distinct, dataset.sample, dataset.seed)
    elif dataset.sample is not None:
        rows = _share(rows, dataset.sample, dataset.seed)
    return rows if dataset.weight == 1 else _weighted(rows, dataset.weight, dataset.seed)


def meets(values: Mapping[str, Plain], filters: Sequence[Filter]) -> bool:
    """Whether a row meets all conditions."""
    return all(_holds(one, _looked_up(values, one.field)) for one in filters)


def _distinct(rows: Rows) -> Rows:
    """The first of rows that say the same; takes about 100 bytes of memory for each row."""
    seen: set[bytes] = set()
    for row in rows:
        if isinstance(row, Row):
            known = len(seen)
            seen.add(row_digest(row))
            if len(seen) == known:
                continue
        yield row


def _share(rows: Rows, share: float, seed: int) -> Rows:
    return (row for row in rows if isinstance(row, BrokenRow) or draw(row, seed, "sample") < share)


def _sample(read: Callable[[], Rows], count: int, seed: int) -> Rows:
    """The rows with the smallest numbers, in their order; takes about 300 bytes of memory for each one taken."""
    sound = (row for row in read() if isinstance(row, Row))
    smallest = heapq.nsmallest(count, ((draw(row, seed, "sample"), at) for at, row in enumerate(sound)))
    taken, at = {at for _, at in smallest}, -1
    for row in read():
        at += isinstance(row, Row)
        if isinstance(row, BrokenRow) or at in taken:
            yield row


def _weighted(rows: Rows, weight: float, seed: int) -> Rows:
    """Each row as often as the weight says; its fraction is the chance of one time more."""
    fraction, whole = math.modf(weight)
    for row in rows:
        if isinstance(row, BrokenRow):
            yield row
        else:
            yield from [row] * (int(whole) + (draw(row, seed, "weight") < fraction))


def has_field(values: Mapping[str, Plain], path: str) -> bool:
    """Whether there is a field, or a dotted path into tables."""
    return _looked_up(values, path) is not _ABSENT


def holds(values: Mapping[str, Plain], path: str) -> bool:
    """Whether a row has a field, or a dotted path into tables, and something in it."""
    return _looked_up(values, path) not in (_ABSENT, None)


def is_compared(condition: Filter, values: Mapping[str, Plain]) -> bool:
    """Whether a row has the field of a condition, with a value of a kind that could be the condition's."""
    value = _looked_up(values, condition.field)
    wanted: object = condition.value[0] if isinstance(condition.value, tuple) and condition.value else condition.value
    if isinstance(value, str) and not isinstance(wanted, str):
        value = _number(value, wanted)
    kinds = (lambda one: isinstance(one, str), lambda one: isinstance(one, bool), _is_number)
    return any(is_one(value) and is_one(wanted) for is_one in kinds)


def _looked_up(values: object, path: str) -> object:
    """The value at a field, or at a dotted path into tables; _ABSENT where there is none."""
    if isinstance(values, Mapping) and path in values:
        return values[path]
    first, dot, rest = path.partition(".")
    inside = values.get(first, _ABSENT) if isinstance(values, Mapping) else _ABSENT
    return _looked_up(inside, rest) if dot else inside


def _holds(condition: Filter, value: object) -> bool:
    """Whether a value meets a condition; one that is absent or cannot be compared only ever differs."""
    wanted: object = condition.value
    match condition.operator:
        case "==" | "in":
            return _is_any(value, wanted)
        case "!=" | "not in":
            return not _is_any(value, wanted)
        case "contains":
            return _contains(value, wanted)
        case "min_length" | "max_length":
            length = _characters(value)
            return _ordered(">=" if condition.operator == "min_length" else "<=", length, wanted)
        case _:
            return _ordered(condition.operator, value, wanted)


def _is_any(value: object, wanted: object) -> bool:
    return any(_equal(value, one) for one in (wanted if isinstance(wanted, tuple) else (wanted,)))


def _equal(value: object, wanted: object) -> bool:
    if isinstance(value, str) and not isinstance(wanted, str):
        value = _number(value, wanted)
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted


def _contains(value: object, wanted: object) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    return isinstance(value, list) and any(_equal(one, wanted) for one in value)


def _ordered(operator: str, value: object, wanted: object) -> bool:
    if isinstance(value, str) and not isinstance(wanted, str):
        value = _number(value, wanted)
    numbers = _is_number(value) and _is_number(wanted)
    if not numbers and not (isinstance(value, str) and isinstance(wanted, str)):
        return False
    one, other = cast("float", value), cast("float", wanted)
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[operator]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str, wanted: object) -> object:
    """The number or truth value that a text spells: tables hold nothing but texts."""
    if isinstance(wanted, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return float(text)
    except ValueError:
        return text


def _characters(value: object) -> int:
    """The characters of all texts in a value."""
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            count += len(one)
        elif isinstance(one, Mapping | list):
            waiting += list(cast("Iterable[object]", one.values() if isinstance(one, Mapping) else one))
    return count
