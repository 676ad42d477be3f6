"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

from executor.data.embedded_json import DECODER
from executor.data.rows import BrokenRow, Row
from state.diagnostic import Place

_DEEPEST = 100

LONGEST_LINE = 1 << 26
"""Bytes of a line above which it is no row (64 MiB), so that a file without line ends does not fill the memory."""


def read(stream: BinaryIO, name: str) -> Iterator[Row | BrokenRow]:
    """Every line that is not blank."""
    return _rows(lines(stream), name)


def read_from(stream: BinaryIO, name: str, line: bytes, number: int) -> Iterator[Row | BrokenRow]:
    """As `read`, where a line was taken from the stream already."""
    return _rows(chain([(number, line)], ((number + at, one) for at, one in lines(stream))), name)


def _rows(numbered: Iterable[tuple[int, bytes]], name: str) -> Iterator[Row | BrokenRow]:
    for number, line in numbered:
        if len(line) > LONGEST_LINE:
            yield BrokenRow(Place(name, number), f"is longer than {LONGEST_LINE >> 20} MiB")
        elif line.strip():
            yield parsed(line, Place(name, number))


def lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Every line with its number; of one that is too long only a beginning that is too long, too."""
    number, beginning = 1, True
    while line := stream.readline(LONGEST_LINE + 1):
        if beginning:
            yield number, line
        beginning = line.endswith(b"\n")
        number += beginning


def parsed(line: bytes, place: Place) -> Row | BrokenRow:
    """The object that a line holds."""
    try:
        text = line.decode("utf-8-sig" if place.line == 1 else "utf-8")
        values = DECODER.decode(text.strip())
    except UnicodeDecodeError:
        return BrokenRow(place, "is not UTF-8")
    except json.JSONDecodeError as error:
        return BrokenRow(place, f"is not JSON: {error.msg} in column {error.colno}")
    except ValueError:  # Python reads no integer of more than 4,300 digits
        return BrokenRow(place, "holds a number of too many digits")
    except RecursionError:
        return BrokenRow(place, "is nested too deeply")
    suspicious = b"\\u" in line or line.count(b"{") + line.count(b"[") > _DEEPEST
    return checked(values, place) if suspicious or not isinstance(values, dict) else Row(place, values)


def checked(values: object, place: Place) -> Row | BrokenRow:
    """A value as a row, if it is an object of whole characters that is not nested deeper than what follows can bear."""
    if not isinstance(values, dict):
        array = isinstance(values, list) and not place.column
        told = " but an array: a file that is an array of rows is one of the ending .json" if array else ""
        return BrokenRow(place, f"is not a JSON object{told}")
    level: list[object] = [values]
    for _ in range(_DEEPEST):
        texts = [one for one in level if isinstance(one, str)]
        if not all(map(_is_whole, texts)):
            return BrokenRow(place, "holds half a character (a surrogate without the other one)")
        nested = (one for one in level if isinstance(one, dict | list))
        inner = [(*one, *one.values()) if isinstance(one, dict) else one for one in nested]
        level = [one for group in inner for one in group]
        if not level:
            return Row(place, values)
    return BrokenRow(place, "is nested too deeply")


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
