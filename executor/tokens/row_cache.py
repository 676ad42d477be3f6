"""Rows that have been encoded, on disk by their content, so that only what is new in a data set is encoded again.

One file for each way of encoding (tokenizer, template, masking, code). It only ever grows, by blocks that carry their
own digest; what a crash left of the last one is cut off. It can be deleted at any time, for it holds nothing but what
rows and tokenizer say. Encoded rows are read from it, through the page cache, also where they are new: so a row takes
some ten bytes of memory, whatever it says.

A block of rows: 40 bytes of header (tag, number of rows, number of tokens, xxh3-128 of what follows); then the columns
key (16 bytes a row), tokens and trained tokens (4 bytes each); then, row by row, its ids and its labels (4 bytes each).

A block of lines, which stood together in a file and are all rows: the same header (no tokens), the key of all lines
together, the columns digest of what the row says (8 bytes), its number in this cache, and its line (4 bytes each), and
how many lines these are (4 bytes).

All of a file is read to check its digests, unless a seal beside it says that nothing has written to it since it was
closed, and that this machine has not been started anew, so that nothing can have been lost on the way to the disk.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, cast

import xxhash
from attrs import define, field

from executor.tokens import file_seal
from executor.tokens.row_index import RowIndex
from executor.tokens.token_documents import Documents
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TAG, _TAG_OF_LINES = b"tunerow2", b"tunelin3"
_HEADER = struct.Struct("<8sQQ16s")
_KEY_BYTES = 16
_COLUMN_BYTES = _KEY_BYTES + 4 + 4
_LINE_BYTES = 8 + 4 + 4
_COUNT = struct.Struct("<I")
_ID_BYTES = 4
_TOKEN_BYTES = 2 * _ID_BYTES  # an id and a label
_PIECE_BYTES = 1 << 20
"""What is read at once where a file is only checked."""
_KEYS_AT_ONCE = 1 << 20
"""Keys that are put in order together when they are read."""
_ROWS_AT_ONCE = 1 << 20
"""Rows that are told where they lie together."""


@frozen(eq=False)
class Block:
    """Encoded rows."""

    keys: NDArray[np.uint64]
    """Two integers for each row."""
    lengths: array[int]
    trained: array[int]
    """How many of its tokens are trained, for each row."""
    rows: bytes
    """Each row's ids and then its labels, as 32-bit integers."""


@frozen
class KnownLines:
    """What lines of a file that stand together became: rows, each of them."""

    digests: array[int]
    """The first 8 bytes of the digest of what each row says."""
    numbers: array[int]
    """Their numbers in the cache."""
    lines: array[int]
    """Where each row stands, counted from the first line."""
    count: int
    """How many lines these are, blank ones included."""


@define
class RowCache:
    """The encoded rows of one file, numbered in the order in which they came."""

    file: BinaryIO
    lengths: array[int] = field(factory=lambda: array("i"))
    trained: array[int] = field(factory=lambda: array("i"))
    size: int = 0
    _blocks: array[int] = field(factory=lambda: array("q"), init=False)
    """Where each block of rows begins."""
    _firsts: array[int] = field(factory=lambda: array("q"), init=False)
    """The number of its first row."""
    _lines: dict[bytes, tuple[int, int]] = field(factory=dict, init=False)
    """Where the columns of lines begin that were met together, and how many rows they are, by what all of them say."""
    _index: RowIndex | None = field(default=None, init=False)
    """Filled when a row is looked for, which takes an edit: lines that are known tell the numbers of their rows."""

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The numbers of rows by their keys, UNKNOWN where there is none."""
        if self._index is None:
            self._index = self._all_keys()
        return self._index.find(keys)

    def add(self, block: Block) -> int:
        """Keep encoded rows; the number that the first of them got."""
        body = b"".join((block.keys.tobytes(), block.lengths.tobytes(), block.trained.tobytes(), block.rows))
        tokens = len(block.rows) // _TOKEN_BYTES
        first = len(self.lengths)
        if self._index is not None:
            self._index.add(block.keys, first)
        self.file.write(_HEADER.pack(_TAG, len(block.keys), tokens, xxhash.xxh3_128_digest(body)) + body)
        self._note_rows(block.lengths, block.trained, len(body))
        return first

    def add_lines(self, key: bytes, known: KnownLines) -> None:
        """Keep what lines became, whose rows are kept already."""
        body = b"".join(
            (key, known.digests.tobytes(), known.numbers.tobytes(), known.lines.tobytes(), _COUNT.pack(known.count))
        )
        header = _HEADER.pack(_TAG_OF_LINES, len(known.numbers), 0, xxhash.xxh3_128_digest(body))
        self.file.write(header + body)
        self._note_lines(key, len(known.numbers), len(body))

    def lines(self, key: bytes) -> KnownLines | None:
        """What lines became that were met together before."""
        if key not in self._lines:
            return None
        start, rows = self._lines[key]
        columns = self._read(start, _size_of_lines(rows) - _KEY_BYTES)
        numbers = array("I", columns[8 * rows :])
        return KnownLines(array("Q", columns[: 8 * rows]), numbers[:rows], numbers[rows:-1], numbers[-1])

    def read(self, *, trusting: bool = False) -> None:
        """Take up the blocks of the file, up to the first one that is not whole; trusting, without their digests."""
        end = os.fstat(self.file.fileno()).st_size
        while self.size + _HEADER.size <= end:
            tag, rows, tokens, digest = _HEADER.unpack(self._read(self.size, _HEADER.size))
            body = {_TAG: rows * _COLUMN_BYTES + tokens * _TOKEN_BYTES, _TAG_OF_LINES: _size_of_lines(rows)}
            start, size = self.size + _HEADER.size, body.get(tag, end)
            if start + size > end or not (trusting or self._digest(start, size) == digest):
                return
            if tag == _TAG:
                columns = array("i", self._read(start + rows * _KEY_BYTES, rows * (_COLUMN_BYTES - _KEY_BYTES)))
                self._note_rows(columns[:rows], columns[rows:], size)
            else:
                self._note_lines(self._read(start, _KEY_BYTES), rows, size)

    def content(self) -> memoryview:
        """The file's bytes, for as long as anybody holds on to them."""
        self.file.flush()
        return memoryview(mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else b"")

    def documents(self, numbers: Sequence[int], content: memoryview) -> Documents:
        """Some of the rows, by their numbers; what is needed to find others by their keys is let go of."""
        import numpy as np

        self._index = None
        starts, lengths, trained = self._starts(), np.asarray(self.lengths), np.asarray(self.trained)
        made = Documents(content, array("q"), array("i"), array("i"), array("i"))
        for at in range(0, len(numbers), _ROWS_AT_ONCE):
            chosen = np.asarray(numbers[at : at + _ROWS_AT_ONCE])
            made.starts.frombytes(starts[chosen].tobytes())
            made.distances.frombytes((_ID_BYTES * lengths[chosen]).tobytes())
            made.lengths.frombytes(lengths[chosen].tobytes())
            made.trained.frombytes(trained[chosen].tobytes())
        return made

    def _starts(self) -> NDArray[np.int64]:
        """Where the ids of each row begin, in bytes."""
        import numpy as np

        lengths = np.asarray(self.lengths)
        starts = np.cumsum(lengths, dtype=np.int64)
        starts -= lengths
        starts *= _TOKEN_BYTES
        for block, (first, behind) in zip(self._blocks, pairwise((*self._firsts, len(lengths))), strict=True):
            starts[first:behind] += block + _HEADER.size + (behind - first) * _COLUMN_BYTES - starts[first]
        return starts

    def _all_keys(self) -> RowIndex:
        import numpy as np

        index, keys, first = RowIndex(), bytearray(), 0
        for block, (low, high) in zip(self._blocks, pairwise((*self._firsts, len(self.lengths))), strict=True):
            keys += self._read(block + _HEADER.size, (high - low) * _KEY_BYTES)
            if high == len(self.lengths) or high - first >= _KEYS_AT_ONCE:
                index.add(np.frombuffer(bytes(keys), np.uint64).reshape(-1, 2), first)
                keys, first = bytearray(), high
        return index

    def _note_rows(self, lengths: array[int], trained: array[int], size: int) -> None:
        self._blocks.append(self.size)
        self._firsts.append(len(self.lengths))
        self.lengths.extend(lengths)
        self.trained.extend(trained)
        self.size += _HEADER.size + size

    def _note_lines(self, key: bytes, rows: int, size: int) -> None:
        self._lines[key] = self.size + _HEADER.size + _KEY_BYTES, rows
        self.size += _HEADER.size + size

    def _read(self, start: int, size: int) -> bytes:
        self.file.flush()
        return os.pread(self.file.fileno(), size, start)

    def _digest(self, start: int, size: int) -> bytes:
        hasher = xxhash.xxh3_128()
        for at in range(start, start + size, _PIECE_BYTES):
            hasher.update(self._read(at, min(_PIECE_BYTES, start + size - at)))
        return hasher.digest()


def _size_of_lines(rows: int) -> int:
    """Bytes of a block of lines behind its header."""
    return _KEY_BYTES + rows * _LINE_BYTES + _COUNT.size


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
        cache.read(trusting=file_seal.holds(path))
        file.truncate(cache.size)
        file.seek(cache.size)
        yield cache
        file.flush()
        file_seal.put(path)


@contextmanager
def temporary(folder: Path) -> Iterator[RowCache]:
    """A cache that is gone when it is closed."""
    with TemporaryFile(dir=folder) as file:
        yield RowCache(cast("BinaryIO", file))
