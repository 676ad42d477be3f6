"""Rows that have been encoded, on disk by their content, so that only what is new in a data set is encoded again.

One file for each way of encoding (tokenizer, template, masking, code). It only ever grows, by blocks that carry their
own digest; what a crash left of the last one is cut off. It can be deleted at any time, for it holds nothing but what
rows and tokenizer say. Encoded rows are read from it, through the page cache, also where they are new: so memory stays
bounded however many there are.

A block: 40 bytes of header (tag, number of rows, number of tokens, xxh3-128 of what follows); then the columns key
(24 bytes a row), tokens and trained tokens (4 bytes each); then, row by row, its ids and its labels (4 bytes each).
"""

from __future__ import annotations

import fcntl
import mmap
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import xxhash
from attrs import define, field, frozen

from executor.token_files import Documents

_TAG = b"tunerow1"
_HEADER = struct.Struct("<8sQQ16s")
_KEY_BYTES = 24
_COLUMN_BYTES = _KEY_BYTES + 4 + 4
_ID_BYTES = 4
_TOKEN_BYTES = 2 * _ID_BYTES  # an id and a label


@frozen
class Block:
    """Encoded rows."""

    keys: Sequence[bytes]
    lengths: array[int]
    trained: array[int]
    """How many of its tokens are trained, for each row."""
    rows: bytes
    """Each row's ids and then its labels, as 32-bit integers."""


@define
class RowCache:
    """The encoded rows of one file, numbered in the order in which they came."""

    file: BinaryIO
    places: dict[bytes, int] = field(factory=dict)
    """The number of a row by its key."""
    positions: array[int] = field(factory=lambda: array("q"))
    """Where the ids of a row begin, in bytes."""
    lengths: array[int] = field(factory=lambda: array("i"))
    trained: array[int] = field(factory=lambda: array("i"))
    size: int = 0

    def add(self, block: Block) -> range:
        """Keep encoded rows; the numbers that they got."""
        body = b"".join((*block.keys, block.lengths.tobytes(), block.trained.tobytes(), block.rows))
        tokens = len(block.rows) // _TOKEN_BYTES
        self.file.write(_HEADER.pack(_TAG, len(block.keys), tokens, xxhash.xxh3_128_digest(body)) + body)
        return self._index(block.keys, block.lengths, block.trained)

    def read(self, sound: memoryview) -> None:
        """Take up the blocks of a file, up to the first one that is not whole."""
        while (found := _block(sound[self.size :])) is not None:
            self._index(*found)

    def content(self) -> memoryview:
        """The file's bytes, for as long as anybody holds on to them."""
        self.file.flush()
        return memoryview(mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else b"")

    def documents(self, numbers: Sequence[int], content: memoryview) -> Documents:
        """Some of the rows, by their numbers."""
        return Documents(
            content,
            starts=array("q", [self.positions[at] for at in numbers]),
            distances=array("q", [_ID_BYTES * self.lengths[at] for at in numbers]),
            lengths=array("i", [self.lengths[at] for at in numbers]),
            trained=array("i", [self.trained[at] for at in numbers]),
        )

    def _index(self, keys: Sequence[bytes], lengths: array[int], trained: array[int]) -> range:
        first, start = len(self.lengths), self.size + _HEADER.size + len(keys) * _COLUMN_BYTES
        *positions, self.size = accumulate((_TOKEN_BYTES * one for one in lengths), initial=start)
        numbers = range(first, first + len(keys))
        self.places.update(zip(keys, numbers, strict=True))
        self.positions.extend(positions)
        self.lengths.extend(lengths)
        self.trained.extend(trained)
        return numbers


@contextmanager
def opened(path: Path) -> Iterator[RowCache]:
    """The cache in a file, which is made if there is none; a temporary one while another process holds the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with temporary(path.parent) as cache:
                yield cache
            return
        cache = RowCache(file)
        if path.stat().st_size:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole, memoryview(whole) as content:
                cache.read(content)
        file.truncate(cache.size)
        file.seek(cache.size)
        yield cache


@contextmanager
def temporary(folder: Path) -> Iterator[RowCache]:
    """A cache that is gone when it is closed."""
    with TemporaryFile(dir=folder) as file:
        yield RowCache(cast("BinaryIO", file))


def _block(content: memoryview) -> tuple[list[bytes], array[int], array[int]] | None:
    """Keys, lengths and trained tokens of the block that a content begins with; None if it is not whole."""
    if len(content) < _HEADER.size:
        return None
    tag, rows, tokens, digest = _HEADER.unpack(content[: _HEADER.size])
    body = content[_HEADER.size : _HEADER.size + rows * _COLUMN_BYTES + tokens * _TOKEN_BYTES]
    if tag != _TAG or xxhash.xxh3_128_digest(body) != digest:
        return None
    keys = bytes(body[: rows * _KEY_BYTES])
    columns = array("i", bytes(body[rows * _KEY_BYTES : rows * _COLUMN_BYTES]))
    whole = [keys[start : start + _KEY_BYTES] for start in range(0, len(keys), _KEY_BYTES)]
    return whole, columns[:rows], columns[rows:]
