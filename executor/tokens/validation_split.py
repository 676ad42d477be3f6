"""Which documents are held back for validation: drawn by what they say, so that equal rows are never on both sides."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import xxhash

from executor.tokens.length_limit import Fitted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def split(fitted: Fitted, share: float, seed: int) -> tuple[Sequence[int], Sequence[int]]:
    """The documents to train on and those held back, in their order; all parts of a row go together.

    Rows are held back in the order of a digest of their tokens, until they are so large a share. So a row that is seen
    several times in an epoch, or stands in two datasets, is on one side, and new rows hardly change where others are.
    """
    import numpy as np

    everything = range(len(fitted.rows))
    if not share or not everything:
        return everything, ()
    rows = groupby(everything, key=fitted.rows.__getitem__)
    draws = np.frombuffer(b"".join(_draw(fitted, parts, seed) for _, parts in rows), ">u8").reshape(-1, 2)
    order = np.lexsort((draws[:, 1], draws[:, 0]))
    behind = math.ceil(share * len(draws))
    while behind < len(draws) and (draws[order[behind]] == draws[order[behind - 1]]).all():
        behind += 1
    held_back = np.zeros(len(draws), np.bool_)
    held_back[order[:behind]] = True
    of_documents = held_back[np.asarray(fitted.rows)]
    return _places(~of_documents), _places(of_documents)


def _places(chosen: NDArray[np.bool_]) -> array[int]:
    import numpy as np

    return array("I", np.flatnonzero(chosen).astype(np.uint32).tobytes())


def _draw(fitted: Fitted, parts: Iterable[int], seed: int) -> bytes:
    hasher, documents = xxhash.xxh3_128(f"{seed}:".encode()), fitted.documents
    for at in parts:
        start = documents.starts[at]
        hasher.update(documents.content[start : start + documents.lengths.itemsize * documents.lengths[at]])
    return hasher.digest()
