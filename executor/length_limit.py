"""What becomes of documents that are longer than is allowed: an error, left out, cut off, or split into several."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from attrs import define, field, frozen

from executor.examples import IGNORED
from executor.rows import BrokenRow
from executor.token_files import Documents
from state.diagnostic import Place

_TOO_LONG = "has {} tokens, more than `sequence_len` = {}; set `excess_length_strategy`, or raise the limit"


@frozen
class Fitted:
    """Documents within the limit."""

    documents: Documents
    rows: array[int]
    """Which of the rows that are left each document comes from: several are parts of one row that was split."""
    truncated: int
    """Rows that were cut off or split."""
    dropped: int
    """Rows that were left out, the untrained ones among them."""
    untrained: int
    """Rows of which no trained token was left."""


def too_long(lengths: Iterable[tuple[Place, int]], limit: int, strategy: str) -> list[BrokenRow]:
    """The rows that are longer than is allowed, where the recipe says that this is an error."""
    if strategy != "error":
        return []
    return [BrokenRow(place, _TOO_LONG.format(length, limit)) for place, length in lengths if length > limit]


def fit(documents: Documents, limit: int, strategy: str) -> Fitted:
    """Documents of at most `limit` tokens. Rows of which nothing is trained any more are left out."""
    long = [at for at, length in enumerate(documents.lengths) if length > limit]
    if not long:
        return Fitted(documents, array("q", range(len(documents.lengths))), 0, 0, 0)
    chosen = _Chosen(documents)
    untrained = 0
    for at, length in enumerate(documents.lengths):
        if length <= limit:
            chosen.add(at, [(0, length)])
        elif strategy != "drop":
            ends = range(0, length, limit) if strategy == "split" else range(1)
            untrained += not chosen.add(at, [(start, min(start + limit, length)) for start in ends])
    dropped = len(long) if strategy == "drop" else untrained
    return Fitted(chosen.made, chosen.rows, 0 if strategy == "drop" else len(long), dropped, untrained)


@define
class _Chosen:
    """Parts of documents, collected."""

    source: Documents
    made: Documents = field(init=False)
    rows: array[int] = field(factory=lambda: array("q"))
    _count: int = 0

    def __attrs_post_init__(self) -> None:
        """Nothing yet."""
        self.made = Documents(self.source.content, array("q"), array("q"), array("i"), array("i"))

    def add(self, at: int, parts: Sequence[tuple[int, int]]) -> bool:
        """Take parts of a document, from and to a token; whether any of them is trained and thus taken."""
        labels = self.source.labels(at)
        trained = [(start, end, end - start - labels[start:end].count(IGNORED)) for start, end in parts]
        taken = [one for one in trained if one[2]]
        for start, end, count in taken:
            self.made.starts.append(self.source.starts[at] + labels.itemsize * start)
            self.made.distances.append(self.source.distances[at])
            self.made.lengths.append(end - start)
            self.made.trained.append(count)
            self.rows.append(self._count)
        self._count += bool(taken)
        return bool(taken)
