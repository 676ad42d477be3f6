"""Rows that have been encoded, on disk by their content, so that only what is new in a data set is encoded again.

One file for each way of encoding (tokenizer, template, masking, code). It only ever grows, by blocks that carry their
own digest; what a crash left of the last one is cut off. It can be deleted at any time, for it holds nothing but what
rows and tokenizer say. Encoded rows are read from it, through the page cache, also where they are new: so a row takes
some hundred bytes of memory, whatever it says.

A block of rows: 40 bytes of header (tag, number of rows, number of tokens, xxh3-128 of what follows); then the columns
key (24 bytes a row), tokens and trained tokens (4 bytes each); then, row by row, its ids and its labels (4 bytes each).

A block of lines, which stood together in a file and are all rows: the same header (no tokens), the key of all lines
together, and the columns number of the row in this cache, digest of what it says (8 bytes each), and line (4 bytes).
"""

from __future__ import annotations

import fcntl
import mmap
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import xxhash
from attrs import define, field

from executor.tokens.token_files import Documents
from state.values import frozen

_TAG, _TAG_OF_LINES = b"tunerow1", b"tunelin1"
_HEADER = struct.Struct("<8sQQ16s")
_KEY_BYTES = 24
_COLUMN_BYTES = _KEY_BYTES + 4 + 4
_LINE_BYTES = 8 + 8 + 4
_ID_BYTES = 4
_TOKEN_BYTES = 2 * _ID_BYTES  # an id and a label
_PIECE_BYTES = 1 << 20
"""What is read at once where a file is only checked."""


@frozen
class Block:
    """Encoded rows."""

    keys: Sequence[bytes]
    lengths: array[int]
    trained: array[int]
    """How many of its tokens are trained, for each row."""
    rows: bytes
    """Each row's ids and then its labels, as 32-bit integers."""


@frozen
class KnownLines:
    """What lines of a file that stand together became: rows, each of them."""

    lines: array[int]
    """Where each row stands, counted from the first line."""
    numbers: array[int]
    """Their numbers in the cache."""
    digests: array[int]
    """The first 8 bytes of the digest of what each row says."""


@define
class RowCache:
    """The encoded rows of one file, numbered in the order in which they came."""

    file: BinaryIO
    places: dict[bytes, int] = field(factory=dict)
    """The number of a row by its key."""
    lines: dict[bytes, KnownLines] = field(factory=dict)
    """Lines that were met together, by the digest of all that they say."""
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

    def add_lines(self, key: bytes, known: KnownLines) -> None:
        """Keep what lines became, whose rows are kept already."""
        body = b"".join((key, known.numbers.tobytes(), known.digests.tobytes(), known.lines.tobytes()))
        header = _HEADER.pack(_TAG_OF_LINES, len(known.numbers), 0, xxhash.xxh3_128_digest(body))
        self.file.write(header + body)
        self.size += _HEADER.size + len(body)
        self.lines[key] = known

    def read(self) -> None:
        """Take up the blocks of the file, up to the first one that is not whole."""
        piece = memoryview(bytearray(_PIECE_BYTES))
        end = self.file.seek(0, SEEK_END)
        self.file.seek(0)
        while (found := _block(self.file, end - self.size, piece)) is not None:
            if isinstance(found, Block):
                self._index(found.keys, found.lengths, found.trained)
            else:
                self.size += _HEADER.size + _KEY_BYTES + len(found[1].numbers) * _LINE_BYTES
                self.lines[found[0]] = found[1]

    def content(self) -> memoryview:
        """The file's bytes, for as long as anybody holds on to them."""
        self.file.flush()
        return memoryview(mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else b"")

    def documents(self, numbers: Sequence[int], content: memoryview) -> Documents:
        """Some of the rows, by their numbers."""
        import numpy as np

        chosen = np.asarray(numbers, np.int64)
        starts, lengths, trained = (
            np.asarray(column)[chosen] for column in (self.positions, self.lengths, self.trained)
        )
        return Documents(
            content,
            starts=array("q", starts.tobytes()),
            distances=array("q", (_ID_BYTES * lengths.astype(np.int64)).tobytes()),
            lengths=array("i", lengths.tobytes()),
            trained=array("i", trained.tobytes()),
        )

    def _index(self, keys: Sequence[bytes], lengths: array[int], trained: array[int]) -> range:
        import numpy as np

        numbers = range(len(self.lengths), len(self.lengths) + len(keys))
        start = self.size + _HEADER.size + len(keys) * _COLUMN_BYTES
        ends = start + _TOKEN_BYTES * np.cumsum(np.append(np.int64(0), lengths))
        self.size = int(ends[-1])
        self.places.update(zip(keys, numbers, strict=True))
        self.positions.frombytes(ends[:-1].tobytes())
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
        cache.read()
        file.truncate(cache.size)
        file.seek(cache.size)
        yield cache


@contextmanager
def temporary(folder: Path) -> Iterator[RowCache]:
    """A cache that is gone when it is closed."""
    with TemporaryFile(dir=folder) as file:
        yield RowCache(cast("BinaryIO", file))


def _block(file: BinaryIO, left: int, piece: memoryview) -> Block | tuple[bytes, KnownLines] | None:
    """The block that comes next in what is left of a file, without its rows; None if it is not whole."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    tag, rows, tokens, digest = _HEADER.unpack(header)
    if tag == _TAG_OF_LINES and _HEADER.size + _KEY_BYTES + rows * _LINE_BYTES <= left:
        return _lines(file.read(_KEY_BYTES + rows * _LINE_BYTES), rows, digest)
    if tag != _TAG or _HEADER.size + rows * _COLUMN_BYTES + tokens * _TOKEN_BYTES > left:
        return None
    return _rows(file, rows, tokens, digest, piece)


def _lines(body: bytes, rows: int, digest: bytes) -> tuple[bytes, KnownLines] | None:
    if xxhash.xxh3_128_digest(body) != digest:
        return None
    columns = body[_KEY_BYTES:]
    numbers, digests = array("q", columns[: 8 * rows]), array("Q", columns[8 * rows : 16 * rows])
    return body[:_KEY_BYTES], KnownLines(array("i", columns[16 * rows :]), numbers, digests)


def _rows(file: BinaryIO, rows: int, tokens: int, digest: bytes, piece: memoryview) -> Block | None:
    """Keys, lengths and trained tokens of rows; the rows themselves are read piece by piece, only to be digested."""
    import numpy as np

    keys, columns = file.read(rows * _KEY_BYTES), file.read(rows * (_COLUMN_BYTES - _KEY_BYTES))
    hasher = xxhash.xxh3_128(keys)
    hasher.update(columns)
    to_read = tokens * _TOKEN_BYTES
    while to_read and (count := file.readinto(piece[:to_read])):  # type: ignore[attr-defined]  # of all files that are opened
        hasher.update(piece[:count])
        to_read -= count
    if hasher.digest() != digest:
        return None
    numbers = array("i", columns)
    return Block(np.frombuffer(keys, f"V{_KEY_BYTES}").tolist(), numbers[:rows], numbers[rows:], b"")
