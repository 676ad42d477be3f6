"""Which documents are held back for validation: drawn by what they say, so that equal rows are never on both sides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

import xxhash

from executor.tokens.length_limit import Fitted


def split(fitted: Fitted, share: float, seed: int) -> tuple[Sequence[int], Sequence[int]]:
    """The documents to train on and those held back, in their order; all parts of a row go together.

    Rows are held back in the order of a digest of their tokens, until they are so large a share. So a row that is seen
    several times in an epoch, or stands in two datasets, is on one side, and new rows hardly change where others are.
    """
    everything = range(len(fitted.rows))
    if not share or not everything:
        return everything, ()
    alike: dict[bytes, list[int]] = {}
    for row, parts in groupby(everything, key=fitted.rows.__getitem__):
        alike.setdefault(_draw(fitted, parts, seed), []).append(row)
    wanted = math.ceil(share * (fitted.rows[-1] + 1))
    held_back: set[int] = set()
    for draw in sorted(alike):
        if len(held_back) >= wanted:
            break
        held_back.update(alike[draw])
    return (
        [at for at in everything if fitted.rows[at] not in held_back],
        [at for at in everything if fitted.rows[at] in held_back],
    )


def _draw(fitted: Fitted, parts: Iterable[int], seed: int) -> bytes:
    hasher, documents = xxhash.xxh3_128(f"{seed}:".encode()), fitted.documents
    for at in parts:
        start = documents.starts[at]
        hasher.update(documents.content[start : start + documents.lengths.itemsize * documents.lengths[at]])
    return hasher.digest()
