"""Token rows on disk: Arrow files that `datasets` opens and trainers read as they are, identified by their content."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xxhash
from attrs import frozen

from executor.encoding import IGNORED, Encoded
from state.canonical import Plain

TRAIN, VALIDATION, PROMPTS = "train.arrow", "validation.arrow", "prompts.arrow"


@frozen
class TokenRow:
    """One row to train on: one document, or several packed ones with their lengths in order."""

    ids: Sequence[int]
    labels: Sequence[int]
    lengths: tuple[int, ...]


def row_of(documents: Sequence[Encoded]) -> TokenRow:
    """Documents behind each other, as one row."""
    return TokenRow(
        ids=[token for document in documents for token in document.ids],
        labels=[label for document in documents for label in document.labels],
        lengths=tuple(len(document.ids) for document in documents),
    )


def write_rows(path: Path, rows: Sequence[TokenRow]) -> None:
    """Write `input_ids`, `labels` (-100 where nothing is trained) and `seq_lengths` as an Arrow stream of int32."""
    import pyarrow as pa

    integers = pa.list_(pa.int32())
    columns = {
        "input_ids": [row.ids for row in rows],
        "labels": [row.labels for row in rows],
        "seq_lengths": [row.lengths for row in rows],
    }
    table = pa.table({name: pa.array(values, integers) for name, values in columns.items()})
    _write(path, table)


def write_prompts(path: Path, prompts: Iterable[tuple[Sequence[int], str]]) -> None:
    """Write `input_ids` and the `reference` answer as an Arrow stream."""
    import pyarrow as pa

    pairs = list(prompts)
    ids = pa.array([ids for ids, _ in pairs], pa.list_(pa.int32()))
    references = pa.array([reference for _, reference in pairs], pa.string())
    _write(path, pa.table({"input_ids": ids, "reference": references}))


def read_columns(path: Path) -> dict[str, list[Any]]:
    """The columns of an Arrow stream as Python lists."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        columns: dict[str, list[Any]] = pa.ipc.open_stream(source).read_all().to_pydict()
    return columns


def digest_rows(parts: Mapping[str, Sequence[TokenRow]], prompts: Sequence[tuple[Sequence[int], str]]) -> str:
    """The identity of tokens: ids, labels and boundaries in order, not the bytes of a file format."""
    hasher = xxhash.xxh3_128(b"tune-tokens-1\n")
    for name, rows in sorted(parts.items()):
        hasher.update(f"{name}:{len(rows)}\n".encode())
        for row in rows:
            for values in (row.lengths, row.ids, row.labels):
                hasher.update(_bytes(values))
    for ids, reference in prompts:
        hasher.update(_bytes(ids) + _bytes(reference.encode()))
    return hasher.hexdigest()


def statistics(rows: Sequence[TokenRow]) -> dict[str, Plain]:
    """Counts over rows: rows, documents, tokens, trained tokens, the longest row."""
    return {
        "rows": len(rows),
        "documents": sum(len(row.lengths) for row in rows),
        "tokens": sum(len(row.ids) for row in rows),
        "trained_tokens": sum(label != IGNORED for row in rows for label in row.labels),
        "longest": max((len(row.ids) for row in rows), default=0),
    }


def _bytes(values: Sequence[int] | bytes) -> bytes:
    """Length first, so that no two sequences of sequences look alike; little-endian on every machine we run on."""
    body = bytes(values) if isinstance(values, bytes) else array("i", values).tobytes()
    return len(values).to_bytes(8, "little") + body


def _write(path: Path, table: Any) -> None:  # noqa: ANN401  pyarrow has no types
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
