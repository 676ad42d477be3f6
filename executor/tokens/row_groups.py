"""Where documents are cut into groups that are packed together: by what stands there, not by how much stands before.

So what comes behind an edit is cut where it was cut before, and is packed into the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEAST_ROWS, _LEAST_DOCUMENTS = 4096, 1 << 14
"""Of a group: enough for the row that it ends with, which is half empty, and for rows that are full (99.9 %)."""
_MORE_ROWS = 1024
"""How many more a group has on average, until a document ends it."""
_MOST_MORE_ROWS, _MOST_DOCUMENTS = 4096, 1 << 18
"""Where a group ends if no document ends it: so much of the cache's file fits into memory."""
_MIX = 0xFF51AFD7ED558CCD, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0x9E3779B97F4A7C15
"""Odd numbers without a pattern, for a document and for those before it; from MurmurHash3, Weyl and wyhash."""
_AT_ONCE = 1 << 18
"""Documents that are looked at together, so that numbers of 64 bits for each take little memory."""


def groups(lengths: NDArray[np.int32], trained: NDArray[np.int32], capacity: int) -> Iterator[tuple[int, int]]:
    """The first document of each group, and the one behind its last: the same documents, the same groups.

    A document ends a group by its length, its number of trained tokens, and those of the three before it: of a
    million such, some few do, the more tokens the likelier, so that a group is about as many rows of any capacity.
    """
    import numpy as np

    count, start, before = len(lengths), 0, 0
    if not count:
        return
    ends = np.cumsum(lengths, dtype=np.int64)
    ending = _ending(lengths, trained, capacity)
    while start < count:
        enough = int(np.searchsorted(ends, before + _LEAST_ROWS * capacity))
        first = min(max(enough, start + _LEAST_DOCUMENTS - 1), count - 1)
        most = int(np.searchsorted(ends, int(ends[first]) + _MOST_MORE_ROWS * capacity))
        last = min(most, start + _MOST_DOCUMENTS - 1, count - 1)
        found = int(np.searchsorted(ending, first))
        end = 1 + min(last, int(ending[found]) if found < len(ending) else last)
        yield start, end
        start, before = end, int(ends[end - 1])


def _ending(lengths: NDArray[np.int32], trained: NDArray[np.int32], capacity: int) -> NDArray[np.int64]:
    """The documents that end a group, if that is large enough."""
    import numpy as np

    found, window = [], len(_MIX) - 1
    for at in range(0, len(lengths), _AT_ONCE):
        low = max(0, at - window)
        drawn = _draws(lengths[low : at + _AT_ONCE], trained[low : at + _AT_ONCE])[at - low :]
        few = lengths[at : at + _AT_ONCE] * (2.0**64 / (_MORE_ROWS * capacity))
        found.append(at + np.flatnonzero(drawn < few))
    return np.concatenate(found)


def _draws(lengths: NDArray[np.int32], trained: NDArray[np.int32]) -> NDArray[np.uint64]:
    """A number for each document, spread evenly over 64 bits, by it and those before it."""
    import numpy as np

    own = lengths.astype(np.uint64) << np.uint64(32) | trained.astype(np.uint64)
    own *= np.uint64(_MIX[-1])
    own ^= own >> np.uint64(29)
    drawn = np.zeros(len(own), np.uint64)
    for distance, factor in enumerate(_MIX):
        drawn[distance:] += own[: len(own) - distance] * np.uint64(factor)
    drawn ^= drawn >> np.uint64(32)
    drawn *= np.uint64(_MIX[0])
    return drawn ^ drawn >> np.uint64(33)
