"""JSON documents: an array of objects, or an object with a list of them; read piece by piece, never as a whole."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from attrs import define, field

from executor.data.embedded_json import DECODER
from executor.data.rows import BrokenRow, Row
from executor.sources import json_lines
from state.diagnostic import Place

_GLANCE_BYTES = 64
"""Enough to see whether the text begins with an array, which may be one long line."""
_PIECE_BYTES = 1 << 20
_BLANK = re.compile(r"[ \t\r\n]*")


def read(stream: BinaryIO, name: str) -> Iterator[Row | BrokenRow]:
    """The objects of the top-level array, or of the list of objects in a top-level object; or of JSON Lines after all.

    Many files called .json hold JSON Lines: what shows them is a first line that is an object, with more behind it.
    """
    blank = b""
    while (first := stream.readline(_GLANCE_BYTES)).isspace():
        blank += first
    if first.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        first += b"" if first.endswith(b"\n") else stream.readline(json_lines.LONGEST_LINE)
        number = 1 + blank.count(b"\n")
        row = json_lines.parsed(first, Place(name, number))
        between = following = b""
        while isinstance(row, Row) and (following := stream.readline(json_lines.LONGEST_LINE + 1)).isspace():
            between += following
        if following:
            yield row
            yield from json_lines.read_from(stream, name, following, number + 1 + between.count(b"\n"))
            return
        first += between
    document = _Document(stream, name, blank + first)
    try:
        yield from document.rows()
    except UnicodeDecodeError:
        yield BrokenRow(document.place(), "is not UTF-8", ends_file=True)
    except _BrokenDocumentError as error:
        yield BrokenRow(document.place(), str(error), ends_file=True)


class _BrokenDocumentError(Exception):
    """Why nothing more can be read from here on."""


@define
class _Document:
    """A window on the text: what was read is dropped, what is needed is added, and lines are counted."""

    stream: BinaryIO
    name: str
    head: bytes
    text: str = ""
    at: int = 0
    line: int = 1
    column: int = 1
    finished: bool = False
    decoder: codecs.IncrementalDecoder = field(factory=codecs.getincrementaldecoder("utf-8-sig"))

    def place(self) -> Place:
        """Where the next value begins."""
        return Place(self.name, self.line, self.column)

    def rows(self) -> Iterator[Row | BrokenRow]:
        """Every element of the list."""
        opening = self._next()
        if opening == "{":
            yield from self._of_object()
        elif opening == "[":
            yield from self._elements()
        else:
            message = "is neither a JSON array nor an object with a list in it" if opening else "is an empty file"
            raise _BrokenDocumentError(message)
        if self._next():
            message = "stands behind the end of the JSON document"
            raise _BrokenDocumentError(message)

    def _elements(self) -> Iterator[Row | BrokenRow]:
        self._skip(1)
        while (following := self._next()) != "]":
            if following == ",":
                self._skip(1)
                continue
            place = self.place()
            yield json_lines.checked(self._value(), place)
        self._skip(1)

    def _of_object(self) -> Iterator[Row | BrokenRow]:
        """The elements of the only list of objects among the values of an object; of two, which is meant is unknown."""
        self._skip(1)
        found = ""
        while (following := self._next()) != "}":
            if following != '"':
                message = "is not JSON: expected a name in quotes"
                raise _BrokenDocumentError(message)
            name = self._value()
            if self._next() == ":":
                self._skip(1)
            if not self._at_objects():
                self._value()
            elif found:
                message = (
                    f"is of a second list, `{name}`, where `{found}` holds rows: each belongs into a file of its own"
                )
                raise _BrokenDocumentError(message)
            else:
                found = str(name)
                yield from self._elements()
            if self._next() == ",":
                self._skip(1)
        if not found:
            message = "is a JSON object without a list of rows in it"
            raise _BrokenDocumentError(message)
        self._skip(1)

    def _at_objects(self) -> bool:
        """Whether a list comes next, of which the first element is an object."""
        if self._next() != "[":
            return False
        while not self.finished and not self.text[self.at + 1 :].strip():
            self._more()
        return self.text[self.at + 1 :].lstrip()[:1] == "{"

    def _next(self) -> str:
        """The next character that is not blank, without taking it; "" at the end of the file."""
        while True:
            blank = _BLANK.match(self.text, self.at)
            self._skip((blank.end() if blank else self.at) - self.at)
            if self.at < len(self.text):
                return self.text[self.at]
            if self.finished:
                return ""
            self._more()

    def _value(self) -> object:
        """Take one value. Text is added in growing pieces, so that a long value is not parsed over and over again."""
        wanted = _PIECE_BYTES
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.at)
                if end < len(self.text) or self.finished:  # a number at the end might go on
                    self._skip(end - self.at)
                    return value
            except RecursionError:
                raise _BrokenDocumentError("is nested too deeply") from None
            except ValueError as error:
                if self.finished or len(self.text) - self.at > json_lines.LONGEST_LINE:
                    reason = getattr(error, "msg", str(error))
                    raise _BrokenDocumentError(f"is not JSON from here on: {reason}") from None
            self._more(wanted)
            wanted *= 2

    def _skip(self, count: int) -> None:
        taken = self.text[self.at : self.at + count]
        newlines = taken.count("\n")
        self.line += newlines
        self.column = len(taken) - taken.rfind("\n") if newlines else self.column + count
        self.at += count

    def _more(self, count: int = _PIECE_BYTES) -> None:
        """Drop what was taken and read on."""
        piece = self.head or self.stream.read(count)
        self.head = b""
        self.finished = not piece
        self.text, self.at = self.text[self.at :] + self.decoder.decode(piece, final=self.finished), 0
