"""Which documents share a row: best fit, longest first, so that nearly nothing of a row is padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define, field

from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RULE = "best-fit decreasing 1"
"""What `pack` does, and nothing else: raised when the same lengths come into other rows."""


@frozen(eq=False)
class Rows:
    """Documents by their places, in rows."""

    places: NDArray[np.integer]
    """Of all rows' documents, behind each other."""
    counts: NDArray[np.int64]
    """How many documents each row has."""

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.counts)


def alone(places: Sequence[int]) -> Rows:
    """Each document in a row of its own."""
    import numpy as np

    return Rows(np.asarray(places, np.int64), np.ones(len(places), np.int64))


def pack(lengths: Sequence[int] | NDArray[np.int32], capacity: int) -> Rows:
    """Places of the given lengths, grouped into rows that hold at most `capacity` tokens.

    Best-fit decreasing: each document, longest first, goes to the fullest row that still has room. Rows stand in the
    order in which they were begun, and ties are broken by place: the same lengths, the same rows. Raises ValueError for
    a negative length and one over the capacity.
    """
    import numpy as np

    sizes = np.asarray(lengths, np.int32)
    for length in (sizes.min(initial=0), sizes.max(initial=0)):
        if not 0 <= length <= capacity:
            message = f"a document of {length} tokens does not fit into {capacity}"
            raise ValueError(message)
    filling = _Filling(capacity)
    counts = np.bincount(sizes)
    for length in np.flatnonzero(counts)[::-1].tolist():
        filling.add(length, int(counts[length]))
    rows = np.repeat(np.array(filling.rows, np.int32), filling.taken)
    longest_first = _longest_first(sizes, capacity)
    return Rows(longest_first[np.argsort(rows, kind="stable")], np.bincount(rows))


def _longest_first(sizes: NDArray[np.int32], capacity: int) -> NDArray[np.int32]:
    """Places in the order of their sizes, the longest first, by the narrowest integers: memory, and a faster sort."""
    import numpy as np

    narrow = np.uint16 if capacity <= np.iinfo(np.uint16).max else np.uint32
    return np.argsort((capacity - sizes).astype(narrow), kind="stable").astype(np.int32)


@define
class _Filling:
    """Rows that are being filled, a whole length at a time.

    The rows with a given room are kept in a list for that room, and a bit set (one integer) tells which rooms there
    are, so that the smallest sufficient one is found by bit arithmetic. Of documents of one length, a row that fits
    best takes as many as it can: with one of them in it, it fits the next even better.
    """

    capacity: int
    rows: list[int] = field(factory=list)
    """Which rows took documents, in the order of these."""
    taken: list[int] = field(factory=list)
    """How many each of them took."""
    _with_room: dict[int, list[int]] = field(factory=dict, init=False)
    _rooms: int = field(default=0, init=False)
    _begun: int = field(default=0, init=False)

    def add(self, length: int, count: int) -> None:
        """Put in all documents of one length."""
        while count:
            sufficient = self._rooms >> length
            room = length + (sufficient & -sufficient).bit_length() - 1 if sufficient else self.capacity
            each = min(count, room // length) if length else count
            rows = self._chosen(room if sufficient else None, max(1, count // each))
            self.rows += rows
            self.taken += [each] * len(rows)
            count -= each * len(rows)
            self._leave(rows, room - each * length)

    def _chosen(self, room: int | None, most: int) -> list[int]:
        """Rows with some room, the latest first; new ones if none has enough."""
        if room is None:
            self._begun += most
            return list(range(self._begun - most, self._begun))
        there = self._with_room[room]
        chosen = there[: -most - 1 : -1]
        del there[-most:]
        if not there:
            self._rooms ^= 1 << room
        return chosen

    def _leave(self, rows: list[int], room: int) -> None:
        self._with_room.setdefault(room, []).extend(rows)
        self._rooms |= 1 << room
