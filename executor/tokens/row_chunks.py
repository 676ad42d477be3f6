"""Rows in chunks that are encoded together: lines of JSON that nobody has parsed yet where that is possible, else rows.

Parsing a line takes ten times as long as digesting it, and a row whose digest is known is neither parsed nor encoded.
Cutting lines takes ten times as long as digesting all of them at once, so a stretch of lines that is known is not cut.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from itertools import compress, islice
from pathlib import Path
from typing import TypeAlias, TypeVar

import xxhash

from executor.data.dataset_fields import Dataset
from executor.data.rows import BrokenRow, Row, row_digest
from executor.sources import compression, json_lines, origin
from executor.sources.file_formats import read_file
from state.diagnostic import Place
from state.values import frozen

CHUNK_ROWS = 500
"""Rows of a chunk: a twentieth of a second of work."""
_OF_LINES = (".jsonl", ".ndjson")
_BLOCK_BYTES = 1 << 19
"""What is read of a file of lines at once, about as much work."""


@frozen
class Stretch:
    """Whole lines of a JSONL file as they stand there; which number the first one has, those before it tell."""

    name: str
    is_first: bool
    """Whether nothing stands before it in the file."""
    beginning: bytes
    """Of the first line, as far as it was read before."""
    rest: memoryview

    def digest(self) -> bytes:
        """16 bytes for all that the lines say."""
        hasher = xxhash.xxh3_128(self.beginning)
        hasher.update(self.rest)
        return hasher.digest()

    def lines(self, first: int) -> Lines:
        """The lines that are not blank; the first one has a number."""
        lines = [line.strip() for line in b"".join((self.beginning, self.rest)).split(b"\n")]
        said = list(filter(None, lines))
        numbers: Sequence[int] = range(first, first + len(lines))
        chosen = numbers if len(said) == len(lines) else list(compress(numbers, lines))
        return Lines(self.name, chosen, said, behind=first + len(lines))


@frozen
class Lines:
    """Lines of a JSONL file, without the white space around them."""

    name: str
    numbers: Sequence[int]
    lines: Sequence[bytes]
    behind: int
    """The number of the line behind all of these, blank ones included."""

    def places(self) -> tuple[Sequence[str], Sequence[int]]:
        """File and line of each row."""
        return [self.name] * len(self.numbers), self.numbers

    def digests(self) -> list[bytes]:
        """16 bytes for what each row says."""
        return list(map(xxhash.xxh3_128_digest, self.lines))

    def rows(self) -> list[Row | BrokenRow]:
        """The rows, parsed."""
        return [self._parsed(line, number) for line, number in zip(self.lines, self.numbers, strict=True)]

    def _parsed(self, line: bytes, number: int) -> Row | BrokenRow:
        if len(line) > json_lines.LONGEST_LINE:
            return next(json_lines.read_from(BytesIO(), self.name, line, number))
        return json_lines.parsed(line, Place(self.name, number))

    def some(self, wanted: Sequence[int]) -> Lines:
        """Those at some places."""
        return Lines(self.name, [self.numbers[at] for at in wanted], [self.lines[at] for at in wanted], self.behind)


@frozen
class Parsed:
    """Rows that have been parsed, or that cannot be."""

    parsed: Sequence[Row | BrokenRow]

    def places(self) -> tuple[Sequence[str], Sequence[int]]:
        """File and line of each row."""
        return [row.place.file for row in self.parsed], [row.place.line for row in self.parsed]

    def digests(self) -> list[bytes]:
        """16 bytes for what each row says."""
        return [row_digest(row) if isinstance(row, Row) else b"" for row in self.parsed]

    def rows(self) -> Sequence[Row | BrokenRow]:
        """The rows."""
        return self.parsed

    def some(self, wanted: Sequence[int]) -> Parsed:
        """Those at some places."""
        return Parsed([self.parsed[at] for at in wanted])


T = TypeVar("T")
Chunk: TypeAlias = Lines | Parsed


def chunks(dataset: Dataset, folder: Path) -> Iterator[Stretch | Parsed]:
    """The rows that a dataset takes, in order."""
    if not _as_they_lie(dataset):
        yield from map(Parsed, _groups(origin.rows(dataset, folder)))
        return
    for place, name in origin.named_files(dataset, folder):
        path = Path(place)
        if path.suffix.lower() in _OF_LINES:
            yield from _stretches(path, name)
        else:
            yield from map(Parsed, _groups(read_file(path, name)))


def row_digests(sources: Iterable[tuple[Dataset, Path]]) -> array[int]:
    """The digest of every row that some datasets take from their folders, 8 bytes each; nothing is parsed for it."""
    found = (chunk.digests() for dataset, folder in sources for chunk in cut(chunks(dataset, folder)))
    return array("Q", b"".join(map(short, found)))


def cut(found: Iterable[Stretch | Parsed]) -> Iterator[Chunk]:
    """Chunks whose rows stand apart."""
    number = 1
    for one in found:
        if isinstance(one, Stretch):
            lines = one.lines(1 if one.is_first else number)
            number = lines.behind
            yield lines
        else:
            yield one


def short(digests: Iterable[bytes]) -> bytes:
    """The first 8 bytes of each digest: enough to count rows that two versions of a data set share.

    A row that cannot be read has no digest, all others one of 16 bytes.
    """
    return array("Q", b"".join(digests))[::2].tobytes()


def _as_they_lie(dataset: Dataset) -> bool:
    """Whether all rows of the files are taken, in their order."""
    chooses = dataset.filters or dataset.deduplicate or dataset.sample is not None or dataset.weight != 1
    return not (chooses or dataset.shuffle or dataset.split)


def _stretches(path: Path, name: str) -> Iterator[Stretch]:
    """The lines of a file, as many at once as are read; of one that is too long only a beginning that is too long."""
    with compression.opened(path) as stream:
        is_first, beginning = True, b""
        while block := stream.read(_BLOCK_BYTES):
            end = block.rfind(b"\n")
            if end >= 0:
                yield Stretch(name, is_first, beginning, memoryview(block)[:end])
                is_first, beginning = False, block[end + 1 :]
            else:
                beginning += block
            if len(beginning) > json_lines.LONGEST_LINE:
                yield Stretch(name, is_first, beginning, memoryview(b""))
                is_first, beginning = False, b""
                while (rest := stream.readline(_BLOCK_BYTES)) and not rest.endswith(b"\n"):
                    pass
        yield Stretch(name, is_first, beginning, memoryview(b""))


def _groups(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while group := list(islice(remaining, CHUNK_ROWS)):
        yield group
