"""Which rows two versions of a data set share: told by a file of 8-byte digests, sorted, that lies with the tokens."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash
from attrs import evolve

from executor.data.dataset_fields import Dataset
from executor.data.row_check import faults
from executor.data.rows import BrokenRow
from executor.tokens.row_chunks import chunks, cut, row_digests
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
    broken: int = 0
    """How many of those that came are broken, and passed over as their dataset says."""


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
    gone, come = _come(after, before).total(), _come(before, after).total()
    changed = min(gone, come)
    return RowDifference(come - changed, gone - changed, changed, kept=len(before) - gone)


def since(artifact: Path, sources: Sequence[tuple[Dataset, Path]]) -> RowDifference | None:
    """How the rows of datasets, each with the folder of its files, differ from those that tokens were made of.

    None where the tokens are not on this machine, or were made before their rows were kept in mind.
    """
    kept = artifact / FILE
    if not kept.is_file():
        return None
    before, after = read_digests(kept), row_digests(sources)
    skipping = [(dataset, folder) for dataset, folder in sources if dataset.on_bad_row == "skip"]
    broken = _broken(skipping, _come(before, after)) if skipping else 0
    return evolve(difference(before, after), broken=broken)


def _come(before: Sequence[int], after: Sequence[int]) -> Counter[int]:
    return Counter(after) - Counter(before)


def _broken(sources: Iterable[tuple[Dataset, Path]], come: Counter[int]) -> int:
    """How many of the rows that came are none of their dataset's type; no others are parsed."""
    count = 0
    for dataset, folder in sources:
        for chunk in cut(chunks(dataset, folder)):
            new = []
            for at, digest in enumerate(chunk.digests()):
                said = int.from_bytes(digest[:8], sys.byteorder)
                if digest and come[said] > 0:
                    come[said] -= 1
                    new.append(at)
            rows = chunk.some(new).rows()
            count += sum(isinstance(row, BrokenRow) or any(faults(row, dataset)) for row in rows)
    return count


def order_digest(digests: Sequence[int]) -> str:
    """The identity of rows in their order."""
    import numpy as np

    return xxhash.xxh3_128_hexdigest(np.asarray(digests, np.uint64).data)


def _sorted(digests: Sequence[int]) -> NDArray[np.uint64]:
    import numpy as np

    return np.sort(np.asarray(digests, np.uint64))
