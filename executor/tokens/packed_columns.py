"""Columns of Arrow files, made of packed 32-bit integers without looking at each."""

from __future__ import annotations

from typing import Any

INTEGER_BYTES = 4


def packed_lists(integers: Any, ends: Any) -> Any:  # noqa: ANN401  pyarrow has no types, nor have buffers
    """An Arrow array of lists, by where each of them ends, from 0 on."""
    import pyarrow as pa

    values = pa.Array.from_buffers(
        pa.int32(), memoryview(integers).nbytes // INTEGER_BYTES, [None, pa.py_buffer(integers)]
    )
    return pa.Array.from_buffers(pa.list_(pa.int32()), len(ends) - 1, [None, pa.py_buffer(ends)], children=[values])
