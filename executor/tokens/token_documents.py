"""Encoded documents where they lie, told by arrays of a few bytes for each."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from executor.tokens.packed_columns import INTEGER_BYTES
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@frozen
class Documents:
    """Encoded documents that lie somewhere in a content: their ids, and further on their labels.

    Each has a token at least, and no two share a part: they are the same or apart.
    """

    content: memoryview
    starts: array[int]
    """Where the ids of a document begin, in bytes."""
    distances: array[int]
    """How many bytes behind each id its label stands."""
    lengths: array[int]
    trained: array[int]
    """How many of its tokens are trained."""

    def ids(self, at: int) -> array[int]:
        """The ids of a document."""
        return self._integers(self.starts[at], self.lengths[at])

    def labels(self, at: int) -> array[int]:
        """The labels of a document."""
        return self._integers(self.starts[at] + self.distances[at], self.lengths[at])

    def _integers(self, start: int, count: int) -> array[int]:
        return array("i", self.content[start : start + INTEGER_BYTES * count].tobytes())


def selected(places: Sequence[int]) -> NDArray[np.integer] | slice:
    """How arrays are asked for some documents; all of them are not copied for it."""
    import numpy as np

    return slice(places.start, places.stop) if isinstance(places, range) else np.asarray(places)
