"""Rows of answers within the length limit: what a limit cuts off, and what is left of each row's parts."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from attrs import evolve

from executor.tokens.length_limit import Fitted
from executor.tokens.row_layout import BETTER, PROMPT, RowLayout, sequence_length
from executor.tokens.token_documents import Documents
from state.canonical import Plain
from state.values import frozen


@frozen
class Parts:
    """The ids of a row of answers, apart."""

    prompt: array[int]
    better: array[int]
    worse: array[int]

    @property
    def answered(self) -> int:
        """Tokens of the answers."""
        return len(self.better) + len(self.worse)

    @property
    def length(self) -> int:
        """Tokens of the longest sequence."""
        return len(self.prompt) + max(len(self.better), len(self.worse))

    @property
    def read(self) -> int:
        """Tokens that a model reads for it: a pair's prompt twice."""
        return self.answered + len(self.prompt) * (1 + bool(self.better and self.worse))

    @property
    def teaches(self) -> bool:
        """Whether there is an answer, and of a pair two different ones."""
        return self.better != self.worse

    def within(self, limit: int) -> Parts:
        """Each answer cut where its sequence has `limit` tokens; nothing is left of it where the prompt fills these."""
        room = max(0, limit - len(self.prompt))
        return evolve(self, better=self.better[:room], worse=self.worse[:room])


def parts(documents: Documents, at: int) -> Parts:
    """A row's ids, apart by their labels."""
    ids, labels = documents.ids(at), documents.labels(at)
    prompt = labels.count(PROMPT)
    better = prompt + labels.count(BETTER)
    return Parts(ids[:prompt], ids[prompt:better], ids[better:])


def lengths(documents: Documents, layout: RowLayout) -> Sequence[int]:
    """Tokens of the longest sequence of each row."""
    if layout != "pairs":
        return documents.lengths
    return array("i", (sequence_length(documents.labels(at), layout) for at in range(len(documents.lengths))))


def fit(documents: Documents, layout: RowLayout, limit: int, strategy: str) -> tuple[Fitted, Sequence[int]]:
    """The rows that teach anything within the limit, and their places; they are whole still, and cut when written."""
    long = [at for at, length in enumerate(lengths(documents, layout)) if length > limit]
    gone = {at for at in long if strategy == "drop" or not parts(documents, at).within(limit).teaches}
    kept = [at for at in range(len(documents.lengths)) if at not in gone]
    fitted = Fitted(
        documents=_some(documents, kept),
        rows=array("q", range(len(kept))),
        truncated=0 if strategy == "drop" else len(long),
        dropped=len(gone),
        untrained=0 if strategy == "drop" else len(gone),
    )
    return fitted, kept


def statistics(fitted: Fitted, places: Sequence[int], limit: int) -> dict[str, Plain]:
    """Counts over the rows to train on, and over what the length limit did."""
    tokens = trained = longest = 0
    for at in places:
        one = parts(fitted.documents, at).within(limit)
        tokens, trained, longest = tokens + one.read, trained + one.answered, max(longest, one.length)
    return {
        "rows": len(places),
        "documents": len(places),
        "tokens": tokens,
        "trained_tokens": trained,
        "longest": longest,
        "truncated": fitted.truncated,
        "dropped": fitted.dropped,
        "untrained": fitted.untrained,
    }


def _some(documents: Documents, places: Sequence[int]) -> Documents:
    columns = (documents.starts, documents.distances, documents.lengths, documents.trained)
    chosen = (array(one.typecode, [one[at] for at in places]) for one in columns)
    return Documents(documents.content, *chosen)
