"""Our classes as plain values and back: what every file that we write is made of."""

from __future__ import annotations

import json
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

import attrs

from state.canonical import TABLES, Plain
from state.shapes import shapes

T = TypeVar("T")

_LATER = "later"
SCALARS = frozenset({str, int, float, bool, type(None)})
_ORDERED = (list, tuple)
_converter = shapes(numbers_are_finite=False)


def later(default: object) -> Any:  # noqa: ANN401  attrs.field is typed so that the annotation of the class attribute decides
    """A field that was added after files of its class were written: left out of them where it has its default.

    So what does not use it is written as it always was, and an older tune can read it.
    """
    return attrs.field(default=default, metadata={_LATER: True})


def later_fields(kind: type) -> tuple[str, ...]:
    """The fields of a class that are left out where they have their defaults."""
    return tuple(one.name for one in attrs.fields(kind) if _LATER in one.metadata)


def to_plain(value: object) -> Plain:
    """A value of any of our classes, or of JSON's types, as plain values; a sequence becomes a list."""
    if type(value) in SCALARS:
        return cast("Plain", value)
    if isinstance(value, _ORDERED):
        return [to_plain(one) for one in value]
    if isinstance(value, TABLES):
        return {name: to_plain(one) for name, one in value.items()}
    return cast("Plain", value.value) if isinstance(value, Enum) else record_to_plain(value)


def record_to_plain(value: object) -> dict[str, Plain]:
    """An instance of any of our classes as plain values, by field."""
    given = ((name, getattr(value, name), default) for name, default in _fields(cast("type", type(value))))
    return {name: to_plain(one) for name, one, default in given if default is attrs.NOTHING or one != default}


@cache
def _fields(kind: type) -> tuple[tuple[str, object], ...]:
    """The fields of a class, each with the value that lets it be left out; NOTHING where none does."""
    return tuple((one.name, one.default if _LATER in one.metadata else attrs.NOTHING) for one in attrs.fields(kind))


def from_plain(value: Plain, kind: type[T]) -> T:
    """The reverse of `record_to_plain`; raises ValueError where the value does not fit."""
    return _converter.structure(value, kind)


def as_line(value: Plain) -> bytes:
    """A plain value as one line of JSON, always the same for the same value; raises ValueError for NaN."""
    return as_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def as_bytes(text: str) -> bytes:
    """JSON text in UTF-8; what Python puts for the undecodable bytes of a file name is escaped, as JSON allows."""
    return text.encode("utf-8", "backslashreplace")
