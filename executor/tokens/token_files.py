"""Token rows on disk: Arrow files that `datasets` opens and trainers read as they are, identified by their content."""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import xxhash
from attrs import define, field

from executor.tokens.earlier_files import EarlierFiles, file_name
from executor.tokens.packed_columns import packed_lists
from executor.tokens.row_groups import groups
from executor.tokens.token_documents import Documents, selected
from executor.tokens.token_group import TokenGroup

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


class RowForm(Protocol):
    """How documents become rows of a file."""

    @property
    def capacity(self) -> int | None:
        """How many tokens a row has room for, where documents share one."""

    def rule(self, group: TokenGroup) -> str:
        """What decides, beside the documents, which rows come of a group."""

    def write(self, group: TokenGroup, path: Path) -> None:
        """Write a group, as a file that nobody writes to again."""


@define
class TokenWriter:
    """Writes token rows in groups, takes those over that an earlier artifact has, and digests all: ids, labels, rows.

    How they came there and what else is in the files changes nothing about the digest.
    """

    folder: Path
    earlier: EarlierFiles
    _threads: ThreadPoolExecutor = field(init=False)
    _ahead: dict[tuple[str, int], Future[tuple[str, Path]]] = field(factory=dict, init=False)
    """Groups that were begun, by split and number."""
    _hasher: xxhash.xxh3_128 = field(factory=lambda: xxhash.xxh3_128(b"tune-tokens-3\n"), init=False)

    def __enter__(self) -> Self:
        """Threads are started when there is a group to make."""
        self._threads = ThreadPoolExecutor(min(_MOST_THREADS, len(os.sched_getaffinity(0))))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)

    @property
    def digest(self) -> str:
        """The identity of all that was written so far."""
        return self._hasher.hexdigest()

    def begin(self, split: str, documents: Documents, form: RowForm) -> None:
        """Make groups of which it is certain that they come of documents, whichever follow; in threads, meanwhile."""
        places = range(len(documents.lengths))
        *certain, _ = _groups(documents, places, form)
        for number, chosen in enumerate(certain):
            make = partial(self._file, f"{split}-{number:05}", documents, places, chosen, form)
            self._ahead[split, number] = self._threads.submit(make)

    def wait(self) -> None:
        """Wait until what was begun is done."""
        wait(self._ahead.values())

    def rows(self, split: str, documents: Documents, places: Sequence[int], form: RowForm) -> list[Path]:
        """Write some documents, at least one, as a split; the files, in their order."""
        self._hasher.update(f"{split}\n".encode())
        made = []
        for number, chosen in enumerate(_groups(documents, places, form)):
            make = partial(self._file, f"{split}-{number:05}", documents, places, chosen, form)
            made.append(self._ahead.get((split, number)) or self._threads.submit(make))
        files = []
        for number, one in enumerate(made):
            digest, path = one.result()
            self._hasher.update(f"{number} {digest}\n".encode())
            files.append(path)
        return files

    def _file(
        self, name: str, documents: Documents, places: Sequence[int], chosen: slice, form: RowForm
    ) -> tuple[str, Path]:
        """Write a group or take it over; its digest and its file. Which places it has takes memory only meanwhile."""
        import numpy as np

        group = TokenGroup(documents, np.asarray(places[chosen]))
        digest = group.digest(form.rule(group))
        path = self.folder / file_name(name, digest)
        if not self.earlier.take(digest, path):
            form.write(group, path)
        return digest, path

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


def _groups(documents: Documents, places: Sequence[int], form: RowForm) -> Iterator[slice]:
    import numpy as np

    lengths, trained = (np.asarray(one)[selected(places)] for one in (documents.lengths, documents.trained))
    for start, behind in groups(lengths, trained, form.capacity or _ROW_TOKENS):
        yield slice(start, behind)


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


def opened(folder: Path, split: str) -> Any:  # noqa: ANN401  datasets has no types
    """A split as `datasets` reads it, mapped into memory; None where there is no such split."""
    from datasets import Dataset, concatenate_datasets

    files = [Dataset.from_file(str(path)) for path in split_files(folder, split)]
    return concatenate_datasets(files) if len(files) > 1 else next(iter(files), None)
