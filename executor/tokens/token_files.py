"""Token rows on disk: Arrow files that `datasets` opens and trainers read as they are, identified by their content."""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash
from attrs import define, field

from executor.tokens.earlier_files import EarlierFiles
from executor.tokens.packed_columns import packed_lists
from executor.tokens.packing import RULE, alone, pack
from executor.tokens.row_groups import groups
from executor.tokens.token_documents import Documents
from executor.tokens.token_group import TokenGroup
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAIN, VALIDATION, PROMPTS = "train", "validation", "prompts"
"""Splits of token rows, each in one file or several, in the order of their names."""
_BATCH_PROMPTS = 250
_MOST_THREADS = 4
"""Groups that are digested, packed and written at once: what takes long of that lets other threads run."""
_ROW_TOKENS = 2048
"""What counts as a row where documents stand alone: how long they may be changes nothing for those that are not cut."""


def only_file(folder: Path, split: str) -> Path:
    """The file of a split that is not written in groups."""
    return folder / f"{split}-00000.arrow"


def split_files(folder: Path, split: str) -> list[Path]:
    """The files of a split, in their order; none where there is no such split."""
    return sorted(folder.glob(f"{split}-*.arrow"))


@frozen
class Counted:
    """What rows were written."""

    rows: int
    documents: int
    tokens: int
    trained: int
    longest: int


@define
class TokenWriter:
    """Writes token rows in groups, takes those over that an earlier artifact has, and digests all: ids, labels, rows.

    How they came there and what else is in the files changes nothing about the digest.
    """

    folder: Path
    earlier: EarlierFiles
    _hasher: xxhash.xxh3_128 = field(factory=lambda: xxhash.xxh3_128(b"tune-tokens-3\n"), init=False)

    @property
    def digest(self) -> str:
        """The identity of all that was written so far."""
        return self._hasher.hexdigest()

    def rows(self, split: str, documents: Documents, places: Sequence[int], capacity: int | None) -> Counted:
        """Write some documents, at least one: as many in a row as its capacity allows, or each in one of its own."""
        import numpy as np

        rows = longest = 0
        lengths, trained = (np.asarray(one)[_selected(places)] for one in (documents.lengths, documents.trained))
        self._hasher.update(f"{split}\n".encode())

        def made(number: int, edges: tuple[int, int]) -> tuple[str, NDArray[np.int32]]:
            group = TokenGroup(documents, np.asarray(places[slice(*edges)]))
            return self._file(f"{split}-{number:05}", group, capacity)

        threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
        with ThreadPoolExecutor(threads) as pool:
            cut = groups(lengths, trained, capacity or _ROW_TOKENS)
            for number, (digest, found) in enumerate(pool.map(made, count(), cut)):
                self._hasher.update(f"{number} {digest}\n".encode())
                rows, longest = rows + len(found), max(longest, int(found.max()))
        return Counted(rows, len(places), int(lengths.sum(dtype=np.int64)), int(trained.sum(dtype=np.int64)), longest)

    def _file(self, name: str, group: TokenGroup, capacity: int | None) -> tuple[str, NDArray[np.int32]]:
        """The digest of a group that is written or taken over, and the tokens of each of its rows."""
        digest = group.digest("alone" if capacity is None else f"{RULE} {capacity}")
        path = self.folder / f"{name}-{digest}.arrow"
        if not self.earlier.take(digest, path):
            lengths = group.lengths
            group.write(path, alone(range(len(lengths))) if capacity is None else pack(lengths, capacity))
        return digest, _row_lengths(path)

    def prompts(self, prompts: Sequence[tuple[array[int], str]]) -> None:
        """Write `input_ids` and the `reference` answer as an Arrow stream."""
        import pyarrow as pa

        for ids, reference in prompts:
            said = reference.encode()
            self._hasher.update(struct.pack("<QQ", len(ids), len(said)) + ids.tobytes() + said)
        ids_column = packed_lists(
            b"".join(ids.tobytes() for ids, _ in prompts),
            array("i", accumulate((len(ids) for ids, _ in prompts), initial=0)),
        )
        references = pa.array([reference for _, reference in prompts], pa.string())
        table = pa.table({"input_ids": ids_column, "reference": references})
        with (
            pa.OSFile(str(only_file(self.folder, PROMPTS)), "wb") as sink,
            pa.ipc.new_stream(sink, table.schema) as writer,
        ):
            writer.write_table(table, max_chunksize=_BATCH_PROMPTS)


def _selected(places: Sequence[int]) -> NDArray[np.integer] | slice:
    """How arrays are asked for some documents; all of them are not copied for it."""
    import numpy as np

    return slice(places.start, places.stop) if isinstance(places, range) else np.asarray(places)


def read_columns(folder: Path, split: str) -> dict[str, list[Any]]:
    """The columns of a split as Python lists."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = pa.concat_tables(_tables(folder, split)).to_pydict()
    return columns


def _tables(folder: Path, split: str) -> Iterator[Any]:
    import pyarrow as pa

    for path in split_files(folder, split):
        with pa.memory_map(str(path)) as source:
            yield pa.ipc.open_stream(source).read_all()


def _row_lengths(path: Path) -> NDArray[np.int32]:
    """Tokens of each row of a file, of which no more is read."""
    import numpy as np
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        columns = [batch.column("input_ids") for batch in pa.ipc.open_stream(source)]
        # By its buffer: Arrow's own way to numpy imports pandas where that is installed.
        return np.concatenate([np.diff(np.frombuffer(one.buffers()[1], np.int32, len(one) + 1)) for one in columns])


def opened(folder: Path, split: str) -> Any:  # noqa: ANN401  datasets has no types
    """A split as `datasets` reads it, mapped into memory; None where there is no such split."""
    from datasets import Dataset, concatenate_datasets

    files = [Dataset.from_file(str(path)) for path in split_files(folder, split)]
    return concatenate_datasets(files) if len(files) > 1 else next(iter(files), None)
