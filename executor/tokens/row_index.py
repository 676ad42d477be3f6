"""The numbers of encoded rows by their keys: sorted arrays of 20 bytes a row, where a dictionary takes two hundred."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = -1
"""The number of a key that is not there."""
_LARGEST_RUN = 1 << 22
"""Keys that are sorted together at most, so that what sorting takes beside them stays small."""


@frozen(eq=False)
class _Run:
    """Keys in the order of their first halves."""

    first: NDArray[np.uint64]
    second: NDArray[np.uint64]
    numbers: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.numbers)


@define
class RowIndex:
    """Keys of 16 bytes that are spread evenly, each with a number; runs of them, of which later ones are shorter."""

    _runs: list[_Run] = field(factory=list, init=False)

    def add(self, keys: NDArray[np.uint64], first_number: int) -> None:
        """Take up keys, two integers each, which have the numbers from the given one on."""
        import numpy as np

        self._runs.append(_sorted(keys[:, 0], keys[:, 1], first_number + np.arange(len(keys), dtype=np.uint32)))
        while len(self._runs) > 1 and 2 * len(self._runs[-1]) >= len(self._runs[-2]):
            if len(self._runs[-1]) + len(self._runs[-2]) > _LARGEST_RUN:
                break
            last, before = self._runs.pop(), self._runs.pop()
            columns = zip(*((one.first, one.second, one.numbers) for one in (before, last)), strict=True)
            self._runs.append(_sorted(*map(np.concatenate, columns)))

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The number of each key; UNKNOWN where it has none, or where another one has the same first half."""
        import numpy as np

        numbers = np.full(len(keys), UNKNOWN, np.int64)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run.first, keys[:, 0]), len(run) - 1)
            there = (run.first[at] == keys[:, 0]) & (run.second[at] == keys[:, 1])
            numbers[there] = run.numbers[at[there]]
        return numbers


def _sorted(first: NDArray[np.uint64], second: NDArray[np.uint64], numbers: NDArray[np.uint32]) -> _Run:
    import numpy as np

    order = np.argsort(first)
    return _Run(first[order], second[order], numbers[order])
