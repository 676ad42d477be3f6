"""Plain text: every line that is not blank is a row with the field `text`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from executor.data.rows import BrokenRow, Row
from executor.sources.json_lines import LONGEST_LINE, lines
from state.diagnostic import Place


def read(stream: BinaryIO, name: str) -> Iterator[Row | BrokenRow]:
    """The lines of a .txt file, without their ends."""
    for number, line in lines(stream):
        if len(line) > LONGEST_LINE:
            yield BrokenRow(Place(name, number), f"is longer than {LONGEST_LINE >> 20} MiB")
        elif line.strip():
            yield _row(line, Place(name, number))


def _row(line: bytes, place: Place) -> Row | BrokenRow:
    try:
        text = line.decode("utf-8-sig" if place.line == 1 else "utf-8")
    except UnicodeDecodeError:
        return BrokenRow(place, "is not UTF-8")
    return Row(place, {"text": text.rstrip("\r\n")})
