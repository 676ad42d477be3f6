"""What a file's name says of its format, and the rows in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, TypeAlias

from attrs import evolve

from executor.data.rows import BrokenRow, Row
from state.diagnostic import Place

Reader: TypeAlias = Callable[[BinaryIO, str], Iterator[Row | BrokenRow]]

_READERS = {
    ".jsonl": ("json_lines", "read"),
    ".ndjson": ("json_lines", "read"),
    ".json": ("json_document", "read"),
    ".csv": ("delimited", "read_commas"),
    ".tsv": ("delimited", "read_tabs"),
    ".txt": ("plain_text", "read"),
    ".parquet": ("columns", "read_parquet"),
    ".arrow": ("columns", "read_arrow"),
}
"""The module and function that read each format; loaded when a file of it is read, which most plans never do."""
SUFFIXES = tuple(_READERS)

COMPRESSED = (".gz", ".zst")
"""Endings behind those of a format."""
_TAKEN_FOR = " (a file whose ending tells no format is read as JSON Lines)"
_JUMPING = (".parquet", ".arrow")
"""Formats whose readers jump about in the file."""


def suffix(name: str) -> str:
    """The ending that tells the format, without that of compression; "" for one that is not known."""
    if name.lower().endswith(COMPRESSED):
        name = name.rpartition(".")[0]
    stem, dot, ending = name.rpartition(".")
    found = dot + ending.lower()
    return found if found in _READERS and stem and stem[-1] != "/" else ""


def read_file(path: Path, name: str) -> Iterator[Row | BrokenRow]:
    """Every row of a file, one at a time; `name` is how messages call the file."""
    from executor.sources import compression

    ending = suffix(path.name) or ".jsonl"
    open_file = compression.seekable if ending in _JUMPING else compression.opened
    last = Place(name)
    try:
        with open_file(path) as stream:
            for row in _reader(ending)(stream, name):
                last = row.place
                yield row if suffix(path.name) or isinstance(row, Row) else evolve(row, why=row.why + _TAKEN_FOR)
    except compression.UNREADABLE as error:
        yield BrokenRow(Place(name, last.line + 1), f"cannot be read: {_reason(error)}", ends_file=True)


def _reader(ending: str) -> Reader:
    module, function = _READERS[ending]
    reader: Reader = getattr(import_module(f"executor.sources.{module}"), function)
    return reader


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or error.__class__.__name__
