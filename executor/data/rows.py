"""Raw rows: what a source yields, with file and line for everything that is wrong."""

from __future__ import annotations

import json

import xxhash

from state.canonical import Plain
from state.diagnostic import Place
from state.values import frozen

MOST_REPORTED = 20
"""Broken rows shown one by one; the rest are counted."""


@frozen
class Row:
    """One row of a data file."""

    place: Place
    values: dict[str, Plain]


@frozen
class BrokenRow:
    """A line that is no row, and why."""

    place: Place
    why: str
    ends_file: bool = False
    """Whether nothing behind it in its file can be read: rows of an unknown number, which nobody asked to skip."""


def row_digest(row: Row) -> bytes:
    """The xxh3-128 of what a row says, 16 bytes: the same whatever the file format and the order of its fields."""
    return xxhash.xxh3_128_digest(json.dumps(row.values, sort_keys=True).encode())
