"""Which rows two versions of a data set share: told by a file of 8-byte digests, sorted, that lies with the tokens."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from executor.data.dataset_fields import Dataset
from executor.tokens.row_chunks import row_digests
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "rows.xxh3"
"""The digests of all rows, as sorted little-endian 64-bit integers."""


@frozen
class RowDifference:
    """What it takes to get from one set of rows to another, whatever their order."""

    added: int
    removed: int
    changed: int
    """Rows that are gone while as many others came: the least number of edits that explains it."""
    kept: int


def write_digests(path: Path, digests: Sequence[int]) -> str:
    """Write the digests of rows; the identity of these, whatever their order."""
    ordered = _sorted(digests)
    path.write_bytes(ordered.data)
    return xxhash.xxh3_128_hexdigest(ordered.data)


def read_digests(path: Path) -> array[int]:
    """The digests that were written."""
    return array("Q", path.read_bytes())


def count_digests(artifact: Path) -> int:
    """How many rows the tokens in a folder were made of; 0 where they are not on this machine."""
    kept = artifact / FILE
    return kept.stat().st_size // array("Q").itemsize if kept.is_file() else 0


def difference(before: Sequence[int], after: Sequence[int]) -> RowDifference:
    """How two sets of rows differ, from the digests of their rows."""
    earlier, later = Counter(before), Counter(after)
    gone, come = (earlier - later).total(), (later - earlier).total()
    changed = min(gone, come)
    return RowDifference(come - changed, gone - changed, changed, kept=len(before) - gone)


def since(artifact: Path, sources: Iterable[tuple[Dataset, Path]]) -> RowDifference | None:
    """How the rows of datasets, each with the folder of its files, differ from those that tokens were made of.

    None where the tokens are not on this machine, or were made before their rows were kept in mind.
    """
    kept = artifact / FILE
    return difference(read_digests(kept), row_digests(sources)) if kept.is_file() else None


def order_digest(digests: Sequence[int]) -> str:
    """The identity of rows in their order."""
    import numpy as np

    return xxhash.xxh3_128_hexdigest(np.asarray(digests, np.uint64).data)


def _sorted(digests: Sequence[int]) -> NDArray[np.uint64]:
    import numpy as np

    return np.sort(np.asarray(digests, np.uint64))
