"""Values of columns as JSON has them, by the type of the column: what its rows do not have is not there."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from executor.data.embedded_json import decoded
from state.canonical import Plain

Reader: TypeAlias = Callable[[Any], Plain]


def reader(kind: Any) -> Reader:  # noqa: ANN401  a type of pyarrow's
    """What makes JSON of the values of a column; None stays None.

    A table has all fields of all its objects in every one of them, and nulls where an object had none: these go.
    """
    import pyarrow as pa

    kinds = pa.types
    if isinstance(kind, pa.JsonType):
        return _or_none(lambda text: cast("Plain", decoded(text)))
    if isinstance(kind, pa.BaseExtensionType) or kinds.is_dictionary(kind) or kinds.is_run_end_encoded(kind):
        return reader(kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind.value_type)
    if kinds.is_struct(kind):
        fields = {one.name: reader(one.type) for one in kind}
        return _or_none(lambda value: {name: fields[name](one) for name, one in value.items() if one is not None})
    if kinds.is_map(kind):
        item = reader(kind.item_type)
        return _or_none(lambda value: {str(plain(key)): item(one) for key, one in value})
    if any(is_list(kind) for is_list in (kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list)):
        element = reader(kind.value_type)
        return _or_none(lambda value: [element(one) for one in value])
    return plain


def plain(value: object) -> Plain:
    """A value as JSON has it: what JSON has no number for is null, and what it does not know is a text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, decimal.Decimal) and value == value.to_integral_value():
        return int(value)
    if isinstance(value, float | decimal.Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return _text(value)


def _or_none(read: Reader) -> Reader:
    return lambda value: None if value is None else read(value)


def _text(value: object) -> Plain:
    """Times in ISO 8601; bytes as the text that they are, else as an object that nobody takes for a text to train."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
