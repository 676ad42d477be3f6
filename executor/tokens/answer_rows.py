"""Rows of answers within the length limit: what a limit cuts off, and which rows still teach anything."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from executor.tokens.answer_sizes import AnswerSizes
from executor.tokens.length_limit import Fitted, longer
from executor.tokens.row_layout import BETTER, PROMPT
from executor.tokens.token_documents import Documents


def fit(documents: Documents, sizes: AnswerSizes, limit: int, strategy: str) -> tuple[Fitted, Sequence[int]]:
    """The rows that teach anything within the limit, and their places; they are whole still, and cut when written."""
    long = longer(sizes.lengths, limit)
    gone = {at for at in long if strategy == "drop" or not _teaches(documents, at, limit)}
    everything = range(len(documents.lengths))
    kept = array("I", [at for at in everything if at not in gone]) if gone else everything
    fitted = Fitted(
        documents=_some(documents, kept) if gone else documents,
        rows=range(len(kept)),
        truncated=0 if strategy == "drop" else len(long),
        dropped=len(gone),
        untrained=0 if strategy == "drop" else len(gone),
    )
    return fitted, kept


def _teaches(documents: Documents, at: int, limit: int) -> bool:
    """Whether an answer is left of a row within the limit, and of a pair two different ones."""
    ids, labels = documents.ids(at), documents.labels(at)
    prompt = labels.count(PROMPT)
    better, room = prompt + labels.count(BETTER), max(0, limit - prompt)
    return ids[prompt:better][:room] != ids[better:][:room]


def _some(documents: Documents, places: Sequence[int]) -> Documents:
    columns = (documents.starts, documents.distances, documents.lengths, documents.trained)
    chosen = (array(one.typecode, [one[at] for at in places]) for one in columns)
    return Documents(documents.content, *chosen)
