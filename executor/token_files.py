"""Token rows on disk: Arrow files that `datasets` opens and trainers read as they are, identified by their content."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any

import xxhash
from attrs import field, frozen

TRAIN, VALIDATION, PROMPTS = "train.arrow", "validation.arrow", "prompts.arrow"
_BATCH_ROWS = 250
"""Rows that are written at once: few enough for the memory of one batch to serve for the next."""
_INTEGER_BYTES = 4


@frozen
class Documents:
    """Encoded documents that lie somewhere in a content: their ids, and further on their labels."""

    content: memoryview
    starts: array[int]
    """Where the ids of a document begin, in bytes."""
    distances: array[int]
    """How many bytes behind each id its label stands."""
    lengths: array[int]
    trained: array[int]
    """How many of its tokens are trained."""

    def labels(self, at: int) -> array[int]:
        """The labels of a document."""
        start = self.starts[at] + self.distances[at]
        return array("i", self.content[start : start + _INTEGER_BYTES * self.lengths[at]].tobytes())


@frozen
class TokenWriter:
    """Writes token rows, and digests them on the way: ids, labels and boundaries in order, not a file's bytes."""

    _hasher: xxhash.xxh3_128 = field(factory=lambda: xxhash.xxh3_128(b"tune-tokens-2\n"), init=False)

    @property
    def digest(self) -> str:
        """The identity of all that was written so far."""
        return self._hasher.hexdigest()

    def rows(self, path: Path, documents: Documents, rows: Sequence[Sequence[int]]) -> None:
        """Write `input_ids`, `labels` (-100 where nothing is trained) and `seq_lengths` as an Arrow stream of int32.

        A row is one document, or several packed ones by their places, with their lengths in order.
        """
        import pyarrow as pa

        integers = pa.list_(pa.int32())
        schema = pa.schema([(name, integers) for name in ("input_ids", "labels", "seq_lengths")])
        columns = [xxhash.xxh3_128() for _ in range(4)]

        def write(batch: _Batch) -> None:
            for hasher, part in zip(columns, batch.parts(), strict=True):
                hasher.update(part)
            writer.write_batch(pa.record_batch(batch.arrays(), schema=schema))

        with (
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_stream(sink, schema) as writer,
            ThreadPoolExecutor(1) as beside,  # neither digesting nor writing holds Python back
        ):
            written: Future[None] | None = None
            for start in range(0, len(rows), _BATCH_ROWS):
                batch = _Batch.of(documents, rows[start : start + _BATCH_ROWS])
                if written is not None:
                    written.result()
                written = beside.submit(write, batch)
            if written is not None:
                written.result()
        self._hasher.update(f"{path.name}:{len(rows)}\n".encode() + b"".join(one.digest() for one in columns))

    def prompts(self, path: Path, prompts: Sequence[tuple[array[int], str]]) -> None:
        """Write `input_ids` and the `reference` answer as an Arrow stream."""
        import pyarrow as pa

        for ids, reference in prompts:
            said = reference.encode()
            self._hasher.update(struct.pack("<QQ", len(ids), len(said)) + ids.tobytes() + said)
        ids_column = _lists(b"".join(ids.tobytes() for ids, _ in prompts), [len(ids) for ids, _ in prompts])
        references = pa.array([reference for _, reference in prompts], pa.string())
        table = pa.table({"input_ids": ids_column, "reference": references})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=_BATCH_ROWS)


@frozen
class _Batch:
    """The columns of some rows, behind each other."""

    counts: array[int]
    """Documents of each row."""
    lengths: array[int]
    """Tokens of each document."""
    ids: bytes
    labels: bytes

    @staticmethod
    def of(documents: Documents, rows: Sequence[Sequence[int]]) -> _Batch:
        places = list(chain.from_iterable(rows))
        lengths = array("i", map(documents.lengths.__getitem__, places))
        starts = list(map(documents.starts.__getitem__, places))
        distances = map(documents.distances.__getitem__, places)
        behind = [start + distance for start, distance in zip(starts, distances, strict=True)]
        content = documents.content
        return _Batch(
            counts=array("i", map(len, rows)),
            lengths=lengths,
            ids=b"".join([content[at : at + _INTEGER_BYTES * n] for at, n in zip(starts, lengths, strict=True)]),
            labels=b"".join([content[at : at + _INTEGER_BYTES * n] for at, n in zip(behind, lengths, strict=True)]),
        )

    def parts(self) -> tuple[bytes, ...]:
        """What is digested."""
        return self.counts.tobytes(), self.lengths.tobytes(), self.ids, self.labels

    def arrays(self) -> list[Any]:
        """As Arrow arrays: ids and labels by row, and the lengths of its documents."""
        ends = list(accumulate(self.counts, initial=0))
        tokens = [sum(self.lengths[start:end]) for start, end in pairwise(ends)]
        return [_lists(self.ids, tokens), _lists(self.labels, tokens), _lists(self.lengths.tobytes(), self.counts)]


def read_columns(path: Path) -> dict[str, list[Any]]:
    """The columns of an Arrow stream as Python lists."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        columns: dict[str, list[Any]] = pa.ipc.open_stream(source).read_all().to_pydict()
    return columns


def _lists(integers: bytes, counts: Sequence[int]) -> Any:  # noqa: ANN401  pyarrow has no types
    """An Arrow array of lists, made of packed integers without looking at each."""
    import pyarrow as pa

    offsets = pa.py_buffer(array("i", accumulate(counts, initial=0)).tobytes())
    values = pa.Array.from_buffers(pa.int32(), len(integers) // _INTEGER_BYTES, [None, pa.py_buffer(integers)])
    return pa.Array.from_buffers(pa.list_(pa.int32()), len(counts), [None, offsets], children=[values])
