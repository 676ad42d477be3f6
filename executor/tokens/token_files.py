"""Token rows on disk: Arrow files that `datasets` opens and trainers read as they are, identified by their content."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash
from attrs import field

from executor.tokens.packing import Rows
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAIN, VALIDATION, PROMPTS = "train.arrow", "validation.arrow", "prompts.arrow"
_BATCH_TOKENS = 1 << 18
"""About so many tokens are written at once: few enough for what is copied to be in the processor's cache still."""
_BATCH_PROMPTS = 250
_INTEGER_BYTES = 4


@frozen
class Documents:
    """Encoded documents that lie somewhere in a content: their ids, and further on their labels.

    Each has a token at least, and no two share a part: they are the same or apart.
    """

    content: memoryview
    starts: array[int]
    """Where the ids of a document begin, in bytes."""
    distances: array[int]
    """How many bytes behind each id its label stands."""
    lengths: array[int]
    trained: array[int]
    """How many of its tokens are trained."""

    def ids(self, at: int) -> array[int]:
        """The ids of a document."""
        return self._integers(self.starts[at], self.lengths[at])

    def labels(self, at: int) -> array[int]:
        """The labels of a document."""
        return self._integers(self.starts[at] + self.distances[at], self.lengths[at])

    def _integers(self, start: int, count: int) -> array[int]:
        return array("i", self.content[start : start + _INTEGER_BYTES * count].tobytes())


@frozen
class TokenWriter:
    """Writes token rows, and digests them on the way: ids, labels and boundaries in order, not a file's bytes."""

    _hasher: xxhash.xxh3_128 = field(factory=lambda: xxhash.xxh3_128(b"tune-tokens-2\n"), init=False)

    @property
    def digest(self) -> str:
        """The identity of all that was written so far."""
        return self._hasher.hexdigest()

    def rows(self, path: Path, documents: Documents, rows: Rows) -> None:
        """Write `input_ids`, `labels` (-100 where nothing is trained) and `seq_lengths` as an Arrow stream of int32.

        A row is one document, or several packed ones by their places, with their lengths in order.
        """
        import pyarrow as pa

        integers = pa.list_(pa.int32())
        schema = pa.schema([(name, integers) for name in ("input_ids", "labels", "seq_lengths")])
        columns = [xxhash.xxh3_128() for _ in range(4)]

        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for batch in _batches(documents, rows):
                for hasher, part in zip(columns, batch.parts(), strict=True):
                    hasher.update(part)
                writer.write_batch(pa.RecordBatch.from_arrays(batch.arrays(), schema=schema))
        self._hasher.update(f"{path.name}:{len(rows)}\n".encode() + b"".join(one.digest() for one in columns))

    def prompts(self, path: Path, prompts: Sequence[tuple[array[int], str]]) -> None:
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
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=_BATCH_PROMPTS)


@frozen
class _Batch:
    """The columns of some rows, behind each other."""

    document_ends: NDArray[np.int64]
    """Where the documents of each row end, counted in documents; from 0 on."""
    token_ends: NDArray[np.int64]
    """Where each row ends, in tokens; from 0 on."""
    lengths: NDArray[np.int32]
    """Tokens of each document."""
    ids: memoryview
    labels: memoryview

    def parts(self) -> tuple[bytes | memoryview, ...]:
        """What is digested: the number of documents of each row first."""
        import numpy as np

        counts = np.diff(self.document_ends).astype(np.int32)
        return counts.tobytes(), self.lengths.tobytes(), self.ids, self.labels

    def arrays(self) -> list[Any]:
        """As Arrow arrays: ids and labels by row, and the lengths of its documents."""
        columns = (self.ids, self.token_ends), (self.labels, self.token_ends), (self.lengths, self.document_ends)
        return [packed_lists(integers, ends.astype("i")) for integers, ends in columns]


def _batches(documents: Documents, rows: Rows) -> Iterator[_Batch]:
    """Rows, cut where the next million bytes of ids begin."""
    import numpy as np

    lengths = np.asarray(documents.lengths)[rows.places]
    document_ends = np.append(0, np.cumsum(rows.counts))
    token_ends = np.append(0, np.cumsum(np.add.reduceat(lengths, document_ends[:-1], dtype=np.int64)))
    cuts = np.flatnonzero(np.diff(token_ends[1:] // _BATCH_TOKENS)) + 1
    for start, end in pairwise([0, *cuts.tolist(), len(rows)]):
        first, behind = document_ends[start], document_ends[end]
        ids, labels = _copied(documents, rows.places[first:behind])
        yield _Batch(
            document_ends=document_ends[start : end + 1] - first,
            token_ends=token_ends[start : end + 1] - token_ends[start],
            lengths=lengths[first:behind],
            ids=ids,
            labels=labels,
        )


def _copied(documents: Documents, places: NDArray[np.integer]) -> tuple[memoryview, memoryview]:
    """The ids and the labels of some documents."""
    import numpy as np

    starts = np.asarray(documents.starts)[places]
    sizes = _INTEGER_BYTES * np.asarray(documents.lengths)[places].astype(np.int64)
    behind = starts + np.asarray(documents.distances)[places]
    return _joined(documents.content, starts, sizes), _joined(documents.content, behind, sizes)


def _joined(content: memoryview, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> memoryview:
    """Parts of a content, joined.

    They are told to Arrow as the odd elements of an array of bytes, of which it copies many at once; nothing looks at
    the even ones, between two parts. It reserves room for as many elements of a mean size, by the first and the last
    edge. No `pyarrow.array` here: it imports pandas where that is installed, which takes longer than a million tokens.
    """
    import numpy as np
    import pyarrow as pa

    count, size = len(starts), int(sizes.sum())
    edges = np.zeros(2 * count + 2, np.int64)
    edges[1:-1:2], edges[2:-1:2] = starts, starts + sizes
    edges[-1] = min(len(content), (2 * count + 1) * (size // count + 1))
    odd = np.arange(1, 2 * count, 2)
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(content)]
    elements = pa.Array.from_buffers(pa.large_binary(), 2 * count + 1, buffers)
    taken = elements.take(pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(odd)]))
    return memoryview(taken.buffers()[2])[:size]


def read_columns(path: Path) -> dict[str, list[Any]]:
    """The columns of an Arrow stream as Python lists."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        columns: dict[str, list[Any]] = pa.ipc.open_stream(source).read_all().to_pydict()
    return columns


def packed_lists(integers: Any, ends: Any) -> Any:  # noqa: ANN401  pyarrow has no types, nor have buffers
    """An Arrow array of lists, made of packed integers without looking at each."""
    import pyarrow as pa

    values = pa.Array.from_buffers(
        pa.int32(), memoryview(integers).nbytes // _INTEGER_BYTES, [None, pa.py_buffer(integers)]
    )
    return pa.Array.from_buffers(pa.list_(pa.int32()), len(ends) - 1, [None, pa.py_buffer(ends)], children=[values])
