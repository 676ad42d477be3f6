"""What becomes of documents that are longer than is allowed: an error, left out, cut off, or split into several."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import define, field

from executor.data.examples import IGNORED
from executor.data.rows import BrokenRow
from executor.tokens.token_documents import Documents
from state.diagnostic import Place
from state.values import frozen

_TOO_LONG = "has {} tokens, more than `sequence_len` = {}; raise it, or set `excess_length_strategy` of a train table"


@frozen
class Fitted:
    """Documents within the limit."""

    documents: Documents
    rows: Sequence[int]
    """Which of the rows that are left each document comes from: several are parts of one row that was split."""
    truncated: int
    """Rows that were cut off or split."""
    dropped: int
    """Rows that were left out, the untrained ones among them."""
    untrained: int
    """Rows of which no trained token was left."""


def too_long(lengths: Iterable[int], place: Callable[[int], Place], limit: int, strategy: str) -> Iterator[BrokenRow]:
    """The rows that are longer than is allowed, where the recipe says that this is an error."""
    if strategy == "error":
        longer = ((at, length) for at, length in enumerate(lengths) if length > limit)
        yield from (BrokenRow(place(at), _TOO_LONG.format(length, limit)) for at, length in longer)


def fit(documents: Documents, limit: int, strategy: str) -> Fitted:
    """Documents of at most `limit` tokens. Rows of which nothing is trained any more are left out."""
    long = longer(documents.lengths, limit)
    if not long:
        return Fitted(documents, range(len(documents.lengths)), 0, 0, 0)
    chosen = _Chosen(documents)
    untrained = behind = 0
    for at in long:
        chosen.take_whole(behind, at)
        behind, length = at + 1, documents.lengths[at]
        if strategy != "drop":
            ends = range(0, length, limit) if strategy == "split" else range(1)
            untrained += not chosen.add(at, [(start, min(start + limit, length)) for start in ends])
    chosen.take_whole(behind, len(documents.lengths))
    dropped = len(long) if strategy == "drop" else untrained
    return Fitted(chosen.made, chosen.rows, 0 if strategy == "drop" else len(long), dropped, untrained)


def longer(lengths: Sequence[int], limit: int) -> Sequence[int]:
    """The places of those that are longer than is allowed."""
    import numpy as np

    return array("I", np.flatnonzero(np.asarray(lengths) > limit).astype(np.uint32).tobytes())


@define
class _Chosen:
    """Parts of documents, collected."""

    source: Documents
    made: Documents = field(init=False)
    rows: array[int] = field(factory=lambda: array("I"))
    _count: int = 0

    def __attrs_post_init__(self) -> None:
        """Nothing yet."""
        self.made = Documents(self.source.content, array("q"), array("i"), array("i"), array("i"))

    def add(self, at: int, parts: Sequence[tuple[int, int]]) -> bool:
        """Take parts of a document, from and to a token; whether any of them is trained and thus taken."""
        labels = self.source.labels(at)
        trained = [(start, end, end - start - labels[start:end].count(IGNORED)) for start, end in parts]
        taken = [one for one in trained if one[2]]
        for start, end, count in taken:
            self._take(at, start, end, count)
        self._count += bool(taken)
        return bool(taken)

    def take_whole(self, first: int, behind: int) -> None:
        """Take documents that lie behind each other as they are."""
        for column in ("starts", "distances", "lengths", "trained"):
            getattr(self.made, column).extend(getattr(self.source, column)[first:behind])
        self.rows.extend(range(self._count, self._count + behind - first))
        self._count += behind - first

    def _take(self, at: int, start: int, end: int, trained: int) -> None:
        """Take a part of a document, of which so many tokens are trained."""
        self.made.starts.append(self.source.starts[at] + self.made.lengths.itemsize * start)
        self.made.distances.append(self.source.distances[at])
        self.made.lengths.append(end - start)
        self.made.trained.append(trained)
        self.rows.append(self._count)
