"""Pre-tokens and their ids, looked up many at once: a hash table of short byte strings, made of arrays."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash
from attrs import define, field

from state.durable import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOTHING = 0
"""The number of the piece that has no ids."""
LONGEST = 16
"""Bytes of a piece that is kept in arrays: two integers of 64 bits."""
_MOST = 500_000
"""Pieces that are remembered; far more than the words of any language."""
_FIRST_SLOTS = 1 << 15
_SLOTS_PER_PIECE = 3
_MIX = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xFF51AFD7ED558CCD
"""Odd numbers without a pattern, from xxh3 and MurmurHash3."""
_FREE = -1
_DIGEST_BYTES = 16


@define
class PieceTable:
    """Numbers pieces, and keeps the ids of each.

    No piece may hold a zero byte: the arrays tell pieces by their bytes as integers, with zeros behind the last one.
    """

    ids_of: Callable[[bytes], bytes]
    """The packed ids of a piece that is not known yet."""
    fixed: Iterable[bytes]
    """Packed ids that have the numbers from 1 on."""
    _starts: array[int] = field(init=False)
    """Where the ids of each number begin, and where those of the last one end."""
    _ids: array[int] = field(init=False)
    _met: dict[bytes, bytes] = field(init=False)
    """Pieces that were new since somebody asked for these, with their ids."""
    _others: dict[bytes, int] = field(init=False)
    """The numbers of pieces that are too long for the arrays."""
    _low: NDArray[np.uint64] = field(init=False)
    _high: NDArray[np.uint64] = field(init=False)
    _numbers: NDArray[np.int32] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """No piece yet."""
        self._starts, self._ids, self._others, self._met = array("i", [0]), array("i"), {}, {}
        for ids in (b"", *self.fixed):
            self._keep(ids)
        self._make_slots(_FIRST_SLOTS)

    def __len__(self) -> int:
        """How many pieces are known, and nothing."""
        return len(self._starts) - 1

    def save(self, path: Path) -> None:
        """Write all pieces to a file, behind a digest."""
        import numpy as np

        taken, others = self._numbers != _FREE, list(self._others)
        content = BytesIO()
        np.savez(
            content,
            low=self._low[taken],
            high=self._high[taken],
            numbers=self._numbers[taken],
            starts=np.asarray(self._starts),
            ids=np.asarray(self._ids),
            others=np.frombuffer(b"".join(others), np.uint8),
            sizes=np.array([len(one) for one in others], np.int64),
            numbers_of_others=np.array(list(self._others.values()), np.int64),
        )
        write_atomically(path, xxhash.xxh3_128_digest(content.getbuffer()) + content.getvalue())

    def load(self, path: Path) -> None:
        """Know the pieces that a file holds, instead of those that are known; a damaged file holds none."""
        import numpy as np

        found = path.read_bytes() if path.is_file() else b""
        digest, content = found[:_DIGEST_BYTES], found[_DIGEST_BYTES:]
        if xxhash.xxh3_128_digest(content) != digest:
            return
        with np.load(BytesIO(content), allow_pickle=False) as file:
            held = dict(file)
        self._starts, self._ids = array("i", held["starts"].tobytes()), array("i", held["ids"].tobytes())
        said, ends = held["others"].tobytes(), np.cumsum(held["sizes"]).tolist()
        pieces = [said[start:end] for start, end in pairwise((0, *ends))]
        self._others = dict(zip(pieces, held["numbers_of_others"].tolist(), strict=True))
        self._make_slots(_FIRST_SLOTS)
        if len(self._starts) * _SLOTS_PER_PIECE > len(self._numbers):
            self._grow()
        self._place(held["low"], held["high"], held["numbers"])

    def met(self) -> Mapping[bytes, bytes]:
        """The pieces that were new since this was last asked, with their ids."""
        found, self._met = self._met, {}
        return found

    def learn(self, pieces: Mapping[bytes, bytes]) -> None:
        """Know pieces, with their ids, that another table has met."""
        import numpy as np

        sizes = np.fromiter(map(len, pieces), np.int64, len(pieces))
        self.numbers(b"".join(pieces), np.cumsum(sizes) - sizes, sizes, pieces.__getitem__)

    def numbers(
        self,
        content: bytes,
        starts: NDArray[np.int64],
        sizes: NDArray[np.int64],
        ids_of: Callable[[bytes], bytes] | None = None,
    ) -> NDArray[np.int32]:
        """The numbers of pieces, which lie somewhere in a content; until the next call, which may forget them all.

        The ids of those that are not known can be told.
        """
        import numpy as np

        if len(self._starts) > _MOST:
            self.__attrs_post_init__()
        low, high = _integers(content, starts, sizes)
        found = self._find(low, high)
        found[sizes > LONGEST] = _FREE
        missing = np.flatnonzero(found == _FREE)
        if len(missing):
            found[missing] = self._added(
                content, np.stack((missing, starts[missing], sizes[missing]), 1), low, high, ids_of
            )
        return found

    def ids(self, numbers: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of pieces behind each other, and where those of each piece end."""
        import numpy as np

        starts = np.frombuffer(self._starts, np.int32)
        firsts = starts[numbers].astype(np.int64)
        counts = starts[numbers + 1] - firsts
        ends = np.cumsum(counts)
        places = np.repeat(firsts - ends + counts, counts)
        places += np.arange(len(places))
        return np.frombuffer(self._ids, np.int32)[places], ends

    def _find(self, low: NDArray[np.uint64], high: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Numbers by both integers, _FREE where there is none: a piece lies in its slot, or in the next free one."""
        import numpy as np

        slots = self._slots(low, high)
        found = self._numbers[slots]
        wrong = (self._low[slots] != low) | (self._high[slots] != high)
        pending = np.flatnonzero(wrong & (found != _FREE))
        found[wrong] = _FREE
        while len(pending):
            slots[pending] = here = (slots[pending] + 1) & (len(self._numbers) - 1)
            number = self._numbers[here]
            same = (self._low[here] == low[pending]) & (self._high[here] == high[pending])
            found[pending[same]] = number[same]
            pending = pending[~same & (number != _FREE)]
        return found

    def _added(
        self,
        content: bytes,
        missing: NDArray[np.int64],
        low: NDArray[np.uint64],
        high: NDArray[np.uint64],
        ids_of: Callable[[bytes], bytes] | None,
    ) -> list[int]:
        """The numbers of pieces that are not in the arrays; those that are short enough come to stand there.

        Of each it is told which of all pieces it is, where it begins and how long it is.
        """
        import numpy as np

        short: dict[bytes, int] = {}
        numbers: list[int] = []
        new: list[int] = []
        for at, start, size in missing.tolist():
            piece = content[start : start + size]
            known = short if size <= LONGEST else self._others
            number = known.get(piece)
            if number is None:
                self._met[piece] = ids = (ids_of or self.ids_of)(piece)
                number = known[piece] = self._keep(ids)
                if size <= LONGEST:
                    new.append(at)
            numbers.append(number)
        if len(self._starts) * _SLOTS_PER_PIECE > len(self._numbers):
            self._grow()
        self._place(low[new], high[new], np.fromiter(short.values(), np.int32))
        return numbers

    def _keep(self, ids: bytes) -> int:
        self._ids.frombytes(ids)
        self._starts.append(len(self._ids))
        return len(self._starts) - 2

    def _make_slots(self, count: int) -> None:
        import numpy as np

        self._low, self._high = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
        self._numbers = np.full(count, _FREE, np.int32)

    def _grow(self) -> None:
        taken = self._numbers != _FREE
        kept = self._low[taken], self._high[taken], self._numbers[taken]
        count = len(self._numbers)
        while len(self._starts) * _SLOTS_PER_PIECE > count:
            count *= 4
        self._make_slots(count)
        self._place(*kept)

    def _place(self, low: NDArray[np.uint64], high: NDArray[np.uint64], numbers: NDArray[np.int32]) -> None:
        """Put pieces that are not there into the first free slot from their own on."""
        import numpy as np

        slots, left = self._slots(low, high), np.arange(len(numbers))
        while len(left):
            here = slots[left]
            self._numbers[here] = np.where(self._numbers[here] == _FREE, numbers[left], self._numbers[here])
            won = self._numbers[here] == numbers[left]
            self._low[here[won]], self._high[here[won]] = low[left[won]], high[left[won]]
            left = left[~won]
            slots[left] = (slots[left] + 1) & (len(self._numbers) - 1)

    def _slots(self, low: NDArray[np.uint64], high: NDArray[np.uint64]) -> NDArray[np.int64]:
        import numpy as np

        one, other, last = (np.uint64(number) for number in _MIX)
        mixed = low * one ^ high * other
        mixed ^= mixed >> np.uint64(32)
        mixed *= last
        bits = len(self._numbers).bit_length() - 1
        return (mixed >> np.uint64(64 - bits)).astype(np.int64)


def _integers(
    content: bytes, starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The first and the second 8 bytes of pieces, as little-endian integers."""
    import numpy as np

    padded = content + bytes(LONGEST)
    at_each = np.ndarray((len(content) + 9,), "<u8", padded, strides=(1,)).copy()
    masks = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
    low = at_each[starts] & masks[np.minimum(sizes, 8)]
    high = at_each[np.minimum(starts + 8, len(content) + 8)] & masks[np.clip(sizes - 8, 0, 8)]
    return low, high
