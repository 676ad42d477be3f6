"""A group of documents that share rows: its identity, and the Arrow file that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import xxhash

from executor.tokens.packed_columns import INTEGER_BYTES, packed_lists
from executor.tokens.packing import Rows
from executor.tokens.token_documents import Documents
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH_TOKENS = 1 << 18
"""About so many tokens are written at once: few enough for what is copied to be in the processor's cache still."""


@frozen
class RowSizes:
    """What the rows of a file are like, as it says itself in the metadata of its schema."""

    count: int
    longest: int
    """Tokens."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """What a file says; its rows are not read."""
        import pyarrow as pa

        with path.open("rb", buffering=0) as file:
            told = pa.ipc.open_stream(file).schema.metadata
        return cls(int(told[b"rows"]), int(told[b"longest"]))

    def to_metadata(self) -> dict[str, str]:
        """As a file says it."""
        return {"rows": str(self.count), "longest": str(self.longest)}


@frozen(eq=False)
class TokenGroup:
    """Some documents."""

    documents: Documents
    places: NDArray[np.integer]
    """Which documents these are, in their order."""

    @property
    def lengths(self) -> NDArray[np.int32]:
        """The tokens of each document."""
        import numpy as np

        lengths: NDArray[np.int32] = np.asarray(self.documents.lengths)[self.places]
        return lengths

    def digest(self, rule: str) -> str:
        """The identity of ids, labels and boundaries, of documents and of rows, whatever file they are in.

        A rule says which row a document is in by nothing but its length and those of the others, so it stands for that.
        Documents are digested in their order, in which they mostly lie behind each other.
        """
        import numpy as np

        lengths = self.lengths
        hasher = xxhash.xxh3_128(f"tune-group-1 {rule}:{len(self.places)}\n".encode())
        hasher.update(lengths.astype(np.int32).data)
        for start, end in self._stretches(lengths):
            hasher.update(self.documents.content[start:end])
        return hasher.hexdigest()

    def _stretches(self, lengths: NDArray[np.int32]) -> Iterator[tuple[int, int]]:
        """Where the ids and the labels of each document lie; as one stretch where they lie behind each other."""
        import numpy as np

        edges = np.empty((2, len(lengths), 2), np.int64)
        edges[0, :, 0] = np.asarray(self.documents.starts)[self.places]
        edges[0, :, 1] = edges[0, :, 0] + np.asarray(self.documents.distances)[self.places]
        edges[1] = edges[0] + INTEGER_BYTES * lengths.astype(np.int64)[:, None]
        starts, ends = edges[0].reshape(-1), edges[1].reshape(-1)
        apart = np.flatnonzero(starts[1:] != ends[:-1])
        yield from zip(
            [int(starts[0]), *starts[apart + 1].tolist()], [*ends[apart].tolist(), int(ends[-1])], strict=True
        )

    def write(self, path: Path, rows: Rows) -> None:
        """Write `input_ids`, `labels` (-100 where nothing is trained) and `seq_lengths` as an Arrow stream of int32.

        A row is one document, or several packed ones, with their lengths in order; rows count them from 0. How many
        there are and the tokens of the longest are told ahead of them. Nobody writes to the file again, so that it can
        be part of several artifacts.
        """
        import pyarrow as pa

        integers, told = pa.list_(pa.int32()), RowSizes(len(rows), int(self._row_lengths(rows).max()))
        schema = pa.schema([(name, integers) for name in ("input_ids", "labels", "seq_lengths")], told.to_metadata())
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for arrays in self._batches(rows):
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        path.chmod(0o444)

    def _row_lengths(self, rows: Rows) -> NDArray[np.int64]:
        """The tokens of each row."""
        import numpy as np

        document_starts = np.cumsum(rows.counts) - rows.counts
        lengths: NDArray[np.int64] = np.add.reduceat(self.lengths[rows.places], document_starts, dtype=np.int64)
        return lengths

    def _batches(self, rows: Rows) -> Iterator[list[Any]]:
        """Columns of some rows, cut where the next million bytes of ids begin."""
        import numpy as np

        places = self.places[rows.places]
        lengths = np.asarray(self.documents.lengths)[places]
        document_ends = np.append(0, np.cumsum(rows.counts))
        token_ends = np.append(0, np.cumsum(self._row_lengths(rows)))
        cuts = np.flatnonzero(np.diff(token_ends[1:] // _BATCH_TOKENS)) + 1
        for start, end in pairwise([0, *cuts.tolist(), len(rows)]):
            first, behind = document_ends[start], document_ends[end]
            ids, labels = _copied(self.documents, places[first:behind])
            by_row = token_ends[start : end + 1] - token_ends[start]
            by_document = document_ends[start : end + 1] - first
            columns = (ids, by_row), (labels, by_row), (lengths[first:behind], by_document)
            yield [packed_lists(of_all, ends.astype("i")) for of_all, ends in columns]


def _copied(documents: Documents, places: NDArray[np.integer]) -> tuple[memoryview, memoryview]:
    """The ids and the labels of some documents."""
    import numpy as np

    starts = np.asarray(documents.starts)[places]
    sizes = INTEGER_BYTES * np.asarray(documents.lengths)[places].astype(np.int64)
    behind = starts + np.asarray(documents.distances)[places]
    return joined(documents.content, starts, sizes), joined(documents.content, behind, sizes)


def joined(content: memoryview, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> memoryview:
    """Parts of a content, joined.

    They are told to Arrow as the odd elements of an array of bytes, of which it copies many at once; nothing looks at
    the even ones, between two parts. It reserves room for as many elements of a mean size, by the first and the last
    edge. No `pyarrow.array` here: it imports pandas where that is installed, which takes longer than a million tokens.
    """
    import numpy as np
    import pyarrow as pa

    count, size = len(starts), int(sizes.sum())
    if not size:
        return memoryview(b"")
    edges = np.zeros(2 * count + 2, np.int64)
    edges[1:-1:2], edges[2:-1:2] = starts, starts + sizes
    edges[-1] = min(len(content), (2 * count + 1) * (size // count + 1))
    odd = np.arange(1, 2 * count, 2)
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(content)]
    elements = pa.Array.from_buffers(pa.large_binary(), 2 * count + 1, buffers)
    taken = elements.take(pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(odd)]))
    return memoryview(taken.buffers()[2])[:size]
