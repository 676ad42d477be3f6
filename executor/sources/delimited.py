"""Tables as text, separated by commas or tabs: the first line names the fields, and every value is a text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from executor.data.rows import BrokenRow, Row
from executor.sources.json_lines import LONGEST_LINE, lines
from state.diagnostic import Place

_UNCLOSED = "unexpected end of data"
_WORDS = {
    _UNCLOSED: "it opens a quote that nothing closes",
    "new-line character seen in unquoted field": "a carriage return alone ends no line, and must stand in quotes",
}


def read_commas(stream: BinaryIO, name: str) -> Iterator[Row | BrokenRow]:
    """Rows of a .csv file."""
    return _read(stream, name, ",")


def read_tabs(stream: BinaryIO, name: str) -> Iterator[Row | BrokenRow]:
    """Rows of a .tsv file."""
    return _read(stream, name, "\t")


def _read(stream: BinaryIO, name: str, delimiter: str) -> Iterator[Row | BrokenRow]:
    """A row is named by the line on which it begins; a value in quotes may go on over several lines."""
    csv.field_size_limit(LONGEST_LINE)
    undecodable: list[int] = []
    reader = csv.reader(_decoded(stream, undecodable), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        place = Place(name, reader.line_num + 1)
        undecodable.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            wrong, ends = f"is no row of a table: {_reason(str(error))}", str(error) == _UNCLOSED
        else:
            if cells is None:
                return
            wrong, ends = ("is not UTF-8" if undecodable else ""), False
            if header is None and cells:
                wrong = wrong or _wrong_with(cells)
        if wrong:
            yield BrokenRow(place, wrong, ends_file=ends or header is None)
            if header is None:  # the next line would be taken for it
                return
        elif header is None:
            header = cells or None
        elif cells:
            yield _row(place, header, cells)


def _wrong_with(header: list[str]) -> str:
    twice = [name for name in header if header.count(name) > 1]
    if not twice:
        return ""
    return f"names the field `{twice[0]}` twice" if twice[0] else "has two columns without a name"


def _reason(error: str) -> str:
    """Python's words for what is wrong, or better ones."""
    return _WORDS.get(error.partition(" - ")[0], error)


def _row(place: Place, header: list[str], cells: list[str]) -> Row | BrokenRow:
    if len(cells) != len(header):
        return BrokenRow(place, f"has {len(cells)} values, and the first line names {len(header)} fields")
    return Row(place, dict(zip(header, cells, strict=True)))


def _decoded(stream: BinaryIO, undecodable: list[int]) -> Iterator[str]:
    """The lines as text; the numbers of those that are none are noted, for the reader needs some text for them too."""
    for number, line in lines(stream):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            undecodable.append(number)
            yield line.decode("utf-8", "replace")
