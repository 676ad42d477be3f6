"""Tables as text, separated by commas or tabs: the first line names the fields, and every value is a text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from executor.data.rows import BrokenRow, Row
from executor.sources.json_lines import LONGEST_LINE, lines
from state.diagnostic import Place


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
            yield BrokenRow(place, f"is no row of a table: {error}")
            continue
        if cells is None:
            return
        if undecodable:
            yield BrokenRow(place, "is not UTF-8")
        elif header is None and cells:
            header = cells
            if len(set(header)) < len(header):
                yield BrokenRow(place, "names a field twice")
        elif header is not None and cells:
            yield _row(place, header, cells)


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
