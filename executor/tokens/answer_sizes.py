"""How many tokens the parts of rows of answers have, counted for many rows at once."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from executor.tokens.row_layout import BETTER, WORSE
from executor.tokens.token_documents import Documents
from executor.tokens.token_group import joined
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROWS_AT_ONCE = 1 << 12
"""Rows whose labels are copied together."""


@frozen(eq=False)
class AnswerSizes:
    """Tokens of the prompt, the better and the worse answer of some rows."""

    prompt: NDArray[np.int32]
    better: NDArray[np.int32]
    worse: NDArray[np.int32]

    @property
    def answered(self) -> NDArray[np.int32]:
        """Tokens of the answers."""
        return self.better + self.worse

    @property
    def lengths(self) -> array[int]:
        """Tokens of the longest sequence of each row."""
        import numpy as np

        return array("i", (self.prompt + np.maximum(self.better, self.worse)).tobytes())

    @property
    def read(self) -> NDArray[np.int32]:
        """Tokens that a model reads for it: a pair's prompt twice."""
        both = (self.better > 0) & (self.worse > 0)
        read: NDArray[np.int32] = self.answered + self.prompt * (1 + both.astype("i"))
        return read

    def at(self, places: NDArray[np.integer] | slice) -> AnswerSizes:
        """Those of some of the rows."""
        return AnswerSizes(self.prompt[places], self.better[places], self.worse[places])

    def within(self, limit: int) -> AnswerSizes:
        """Each answer cut where its sequence has `limit` tokens; nothing is left of it where the prompt fills these."""
        import numpy as np

        room = np.maximum(0, limit - self.prompt)
        return AnswerSizes(self.prompt, np.minimum(self.better, room), np.minimum(self.worse, room))


def answer_sizes(documents: Documents, places: NDArray[np.integer]) -> AnswerSizes:
    """Those of some documents, by their labels."""
    import numpy as np

    starts, distances, lengths = (
        np.asarray(one)[places] for one in (documents.starts, documents.distances, documents.lengths)
    )
    better, worse = np.empty(len(places), np.int32), np.empty(len(places), np.int32)
    for at in range(0, len(places), _ROWS_AT_ONCE):
        some = slice(at, at + _ROWS_AT_ONCE)
        sizes = lengths.itemsize * lengths[some].astype(np.int64)
        labels = np.frombuffer(joined(documents.content, starts[some] + distances[some], sizes), np.int32)
        firsts = np.append(0, np.cumsum(lengths[some][:-1], dtype=np.int64))
        for label, counts in ((BETTER, better), (WORSE, worse)):
            counts[some] = np.add.reduceat(labels == label, firsts, dtype=np.int32)
    return AnswerSizes(lengths - better - worse, better, worse)
