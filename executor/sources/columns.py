"""Files that keep columns: Parquet, and Arrow as file or stream; rows are named by their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any, BinaryIO

from executor.data.rows import BrokenRow, Row
from executor.sources.column_values import reader
from state.diagnostic import Place, problem

_BATCH_ROWS = 256
"""Rows that are held in memory at once; a row of a chat can be a megabyte."""

_OF_DAMAGE = (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError)
"""What pyarrow raises beside its own errors; a damaged length asks for more memory than there is."""

_ARROW_FILE = b"ARROW1"


def read_parquet(stream: BinaryIO, name: str) -> Iterator[Row | BrokenRow]:
    """Rows of a .parquet file."""
    _need_pyarrow(name)
    from pyarrow import parquet

    def batches() -> Iterator[Any]:
        with parquet.ParquetFile(stream, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False)

    return _rows(batches(), name, "Parquet")


def read_arrow(stream: BinaryIO, name: str) -> Iterator[Row | BrokenRow]:
    """Rows of an .arrow file, in either of its two forms."""
    _need_pyarrow(name)
    from pyarrow import ipc

    def batches() -> Iterator[Any]:
        magic = stream.read(len(_ARROW_FILE))
        stream.seek(0)
        if magic == _ARROW_FILE:
            with ipc.open_file(stream) as file:
                yield from (file.get_batch(number) for number in range(file.num_record_batches))
        else:
            with ipc.open_stream(stream) as batches:
                yield from batches

    return _rows(batches(), name, "Arrow")


def _need_pyarrow(name: str) -> None:
    if find_spec("pyarrow") is None:
        detail = f"Reading `{name}` needs the Python package pyarrow, which is not installed here."
        raise problem("Missing library", detail, "Install `tuneform[train]`, or give the rows as .jsonl.", Place(name))


def _rows(batches: Iterable[Any], name: str, form: str) -> Iterator[Row | BrokenRow]:
    """The rows of record batches; damage ends a file, for nothing tells where sound data would begin again."""
    import pyarrow as pa

    number = 0
    try:
        for batch in batches:
            batch.validate(full=True)  # else damaged offsets lead anywhere in memory
            read = {one.name: reader(one.type) for one in batch.schema}
            if len(read) < batch.num_columns:
                twice = next(name for name in batch.schema.names if batch.schema.names.count(name) > 1)
                yield BrokenRow(Place(name, 1), f"has the column `{twice}` twice", ends_file=True)
                return
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                for values in batch.slice(start, _BATCH_ROWS).to_pylist():
                    number += 1
                    yield Row(Place(name, number), {field: read[field](value) for field, value in values.items()})
    except (pa.ArrowException, *_OF_DAMAGE) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        yield BrokenRow(Place(name, number + 1), f"cannot be read as {form}: {reason}", ends_file=True)
