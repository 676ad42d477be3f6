"""Our classes as plain values and back: what every file that we write is made of."""

from __future__ import annotations

import json
from typing import TypeVar, cast

import cattrs
from cattrs.errors import ForbiddenExtraKeysError

from state.canonical import Plain

T = TypeVar("T")


def plain_converter() -> cattrs.Converter:
    """A converter for our own files: values that are plain already stay as they are, unknown fields are errors."""
    converter = cattrs.Converter(detailed_validation=False, forbid_extra_keys=True)
    converter.register_structure_hook(Plain, lambda value, _: value)
    return converter


_converter = plain_converter()


def record_to_plain(value: object) -> dict[str, Plain]:
    """Any of the classes in `state.record` as plain values."""
    return cast("dict[str, Plain]", _converter.unstructure(value))


def from_plain(value: Plain, kind: type[T]) -> T:
    """The reverse of `record_to_plain`; raises ValueError, KeyError or TypeError where the value does not fit."""
    try:
        return _converter.structure(value, kind)
    except (AttributeError, ForbiddenExtraKeysError) as error:
        raise ValueError(str(error)) from None


def as_line(value: Plain) -> bytes:
    """A plain value as one line of JSON, always the same for the same value; raises ValueError for NaN."""
    return as_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def as_bytes(text: str) -> bytes:
    """JSON text in UTF-8; what Python puts for the undecodable bytes of a file name is escaped, as JSON allows."""
    return text.encode("utf-8", "backslashreplace")
