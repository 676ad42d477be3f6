"""Which documents share a row: best fit, longest first, so that nearly nothing of a row is padding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

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
    counts = np.bincount(sizes)
    descending = np.flatnonzero(counts)[::-1]
    which, taken = _filled(zip(descending.tolist(), counts[descending].tolist(), strict=True), capacity)
    rows = np.repeat(np.array(which, np.int32), taken)
    longest_first = _longest_first(sizes, capacity)
    return Rows(longest_first[np.argsort(rows, kind="stable")], np.bincount(rows))


def _longest_first(sizes: NDArray[np.int32], capacity: int) -> NDArray[np.int32]:
    """Places in the order of their sizes, the longest first, by the narrowest integers: memory, and a faster sort."""
    import numpy as np

    narrow = np.uint16 if capacity <= np.iinfo(np.uint16).max else np.uint32
    return np.argsort((capacity - sizes).astype(narrow), kind="stable").astype(np.int32)


def _filled(lengths: Iterable[tuple[int, int]], capacity: int) -> tuple[list[int], list[int]]:
    """Rows that took documents, in the order of these, and how many each of them took; a whole length at a time.

    The rows with a given room are kept in a list for that room, and a bit set (one integer) tells which rooms there
    are, so that the smallest sufficient one is found by bit arithmetic. Of documents of one length, a row that fits
    best takes as many as it can: with one of them in it, it fits the next even better. Of rows with the same room, the
    latest comes first. One function, for a group of documents comes by here some ten thousand times.
    """
    rows: list[int] = []
    taken: list[int] = []
    with_room: defaultdict[int, list[int]] = defaultdict(list)
    rooms = begun = 0
    for length, documents in lengths:
        count = documents
        while count:
            sufficient = rooms >> length
            room = length + (sufficient & -sufficient).bit_length() - 1 if sufficient else capacity
            each = min(count, room // length) if length else count
            most = count // each
            if sufficient:
                there = with_room[room]
                chosen = there[: -most - 1 : -1]
                del there[-most:]
                if not there:
                    rooms ^= 1 << room
            else:
                chosen = list(range(begun, begun + most))
                begun += most
            rows += chosen
            taken += [each] * len(chosen)
            count -= each * len(chosen)
            with_room[room - each * length] += chosen
            rooms |= 1 << room - each * length
    return rows, taken
