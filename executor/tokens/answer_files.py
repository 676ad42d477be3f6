"""Rows of answers on disk: Arrow files in the columns that trainers read, identified by their content."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import xxhash
from attrs import field

from executor.tokens.answer_rows import Parts, parts
from executor.tokens.documents import Question
from executor.tokens.packed_columns import packed_lists
from executor.tokens.row_layout import RowLayout
from executor.tokens.token_documents import Documents
from executor.tokens.token_files import only_file
from state.values import frozen

_BATCH_ROWS = 1000


@frozen
class AnswerWriter:
    """Writes rows of one layout, cut to a limit, and digests them on the way: what they hold, not a file's bytes."""

    layout: RowLayout
    limit: int
    _hasher: xxhash.xxh3_128 = field(factory=lambda: xxhash.xxh3_128(b"tune-answers-2\n"), init=False)

    @property
    def digest(self) -> str:
        """The identity of all that was written so far."""
        return self._hasher.hexdigest()

    def rows(
        self, folder: Path, split: str, documents: Documents, places: Sequence[int], questions: Sequence[Question]
    ) -> None:
        """Write some rows, a split, as an Arrow stream in the columns of the layout.

        pairs: `prompt_ids`, `chosen_ids`, `rejected_ids`; judged: `prompt_ids`, `completion_ids`, `label`; prompts:
        `prompt_ids`, and the whole `row` as JSON for the reward functions.
        """
        import pyarrow as pa

        self._hasher.update(f"{self.layout} {split}:{len(places)}\n".encode())
        with pa.OSFile(str(only_file(folder, split)), "wb") as sink:
            writer = None
            for start in range(0, len(places), _BATCH_ROWS):
                some = places[start : start + _BATCH_ROWS]
                rows = [parts(documents, at).within(self.limit) for at in some]
                said = [questions[at].reference for at in some] if questions else [""] * len(rows)
                for one, text in zip(rows, said, strict=True):
                    self._hasher.update(_packed(one, text.encode()))
                batch = pa.record_batch(self._columns(rows, said))
                writer = writer or pa.ipc.new_stream(sink, batch.schema)
                writer.write_batch(batch)
            if writer is not None:
                writer.close()

    def _columns(self, rows: Sequence[Parts], said: Sequence[str]) -> dict[str, Any]:
        import pyarrow as pa

        columns = {"prompt_ids": _ids([one.prompt for one in rows])}
        match self.layout:
            case "pairs":
                columns["chosen_ids"] = _ids([one.better for one in rows])
                columns["rejected_ids"] = _ids([one.worse for one in rows])
            case "judged":
                columns["completion_ids"] = _ids([one.better or one.worse for one in rows])
                columns["label"] = pa.array([bool(one.better) for one in rows])
            case _:
                columns["row"] = pa.array(said, pa.string())
        return columns


def _ids(rows: Sequence[array[int]]) -> Any:  # noqa: ANN401  pyarrow has no types
    ends = array("i", accumulate(map(len, rows), initial=0))
    return packed_lists(b"".join(one.tobytes() for one in rows), ends)


def _packed(row: Parts, said: bytes) -> bytes:
    """All that a row holds, each part behind its size."""
    ids = [one.tobytes() for one in (row.prompt, row.better, row.worse)]
    return b"".join((struct.pack("<QQQQ", *map(len, ids), len(said)), *ids, said))
