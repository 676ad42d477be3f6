"""Files of rows of answers, in the columns that trainers read, cut to a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from executor.tokens.answer_sizes import AnswerSizes, answer_sizes
from executor.tokens.documents import Question
from executor.tokens.packed_columns import INTEGER_BYTES, packed_lists
from executor.tokens.row_layout import RowLayout
from executor.tokens.token_group import TokenGroup, joined
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH_ROWS = 1000


@frozen
class AnswerRows:
    """Each document a row with a prompt and answers apart, these cut where their sequence has `limit` tokens."""

    layout: RowLayout
    limit: int
    questions: Sequence[Question] = ()
    """What stands in rows beside their ids, one for each document, where there is such."""
    capacity = None

    def rule(self, group: TokenGroup) -> str:
        """What rows the documents of a group become."""
        hasher = xxhash.xxh3_128()
        for text in self._said(group.places):
            hasher.update(f"{len(text)}:{text}".encode())
        return f"{self.layout} 1 {self.limit} {hasher.hexdigest()}"

    def write(self, group: TokenGroup, path: Path) -> None:
        """Write a group as an Arrow stream in the columns of the layout.

        pairs: `prompt_ids`, `chosen_ids`, `rejected_ids`; judged: `prompt_ids`, `completion_ids`, `label`; prompts:
        `prompt_ids`, and the whole `row` as JSON for the reward functions.
        """
        import pyarrow as pa

        with pa.OSFile(str(path), "wb") as sink:
            batches = self._batches(group)
            first = next(batches)
            with pa.ipc.new_stream(sink, first.schema) as writer:
                for batch in (first, *batches):
                    writer.write_batch(batch)
        path.chmod(0o444)

    def _batches(self, group: TokenGroup) -> Iterator[Any]:
        import pyarrow as pa

        for start in range(0, len(group.places), _BATCH_ROWS):
            some = TokenGroup(group.documents, group.places[start : start + _BATCH_ROWS])
            yield pa.record_batch(self._columns(some))

    def _columns(self, group: TokenGroup) -> dict[str, Any]:
        import numpy as np
        import pyarrow as pa

        whole = answer_sizes(group.documents, group.places)
        cut = whole.within(self.limit)
        starts = np.asarray(group.documents.starts)[group.places]
        behind = starts + INTEGER_BYTES * whole.prompt.astype(np.int64)
        last = behind + INTEGER_BYTES * whole.better.astype(np.int64)
        content = group.documents.content
        columns = {"prompt_ids": _ids(content, starts, whole.prompt)}
        match self.layout:
            case "pairs":
                columns["chosen_ids"] = _ids(content, behind, cut.better)
                columns["rejected_ids"] = _ids(content, last, cut.worse)
            case "judged":
                columns["completion_ids"] = _ids(content, behind, cut.better + cut.worse)
                columns["label"] = _flags(cut)
            case _:
                columns["row"] = pa.array(self._said(group.places), pa.string())
        return columns

    def _said(self, places: NDArray[np.integer]) -> list[str]:
        return [self.questions[at].reference for at in places.tolist()] if self.questions else []


def _ids(content: memoryview, starts: NDArray[np.int64], counts: NDArray[np.int32]) -> Any:  # noqa: ANN401  an array of Arrow's
    import numpy as np

    ids = joined(content, starts, INTEGER_BYTES * counts.astype(np.int64))
    return packed_lists(ids, np.append(0, np.cumsum(counts)).astype("i"))


def _flags(cut: AnswerSizes) -> Any:  # noqa: ANN401  an array of Arrow's
    import pyarrow as pa

    return pa.array((cut.better > 0).tolist())
