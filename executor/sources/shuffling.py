"""Rows in a random order that is theirs: the same seed and the same rows give the same order, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from executor.data.rows import BrokenRow, Row
from executor.sources.selection import Rows, draw
from state.diagnostic import Place

_HELD_ROWS = 20_000
"""Rows that are put in order in memory; more of them go through files."""

_FILES = 256
"""How many files those are: each must fit into memory by itself."""

Numbered: TypeAlias = tuple[float, int, Row]
"""A row with its random number, and with its place in the source, which decides between equals."""


def shuffled(rows: Rows, seed: int) -> Rows:
    """The rows in the order of their own random numbers; broken ones first, as they come."""
    numbered = _numbers(rows, seed)
    held: list[Numbered] = []
    for one in numbered:
        if isinstance(one, BrokenRow):
            yield one
            continue
        held.append(one)
        if len(held) == _HELD_ROWS:
            yield from _through_files(chain(held, numbered))
            return
    yield from _in_order(held)


def _numbers(rows: Rows, seed: int) -> Iterator[Numbered | BrokenRow]:
    """The rows with their numbers; one that is repeated right behind itself gets another number each time."""
    last, repeated = None, 0
    for at, row in enumerate(rows):
        repeated = repeated + 1 if row is last else 0
        last = row
        yield row if isinstance(row, BrokenRow) else (draw(row, seed, f"shuffle {repeated}"), at, row)


def _through_files(numbered: Iterable[Numbered | BrokenRow]) -> Rows:
    """Deal the rows to files by their number, then put each file in order."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="tune-shuffle-") as name:
        paths = [Path(name, str(at)) for at in range(_FILES)]
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("w", encoding="utf-8")) for path in paths]
            for one in numbered:
                if isinstance(one, BrokenRow):
                    yield one
                else:
                    files[int(one[0] * _FILES)].write(_line(*one))
        for path in paths:
            with path.open(encoding="utf-8") as lines:
                yield from _in_order(map(_numbered, lines))
            path.unlink()


def _in_order(numbered: Iterable[Numbered]) -> Iterator[Row]:
    return (row for _, _, row in sorted(numbered, key=lambda one: one[:2]))


def _line(number: float, at: int, row: Row) -> str:
    place = row.place
    return json.dumps([number, at, place.file, place.line, place.column, row.values]) + "\n"


def _numbered(line: str) -> Numbered:
    number, at, file, line_number, column, values = json.loads(line)
    return number, at, Row(Place(file, line_number, column), values)
