"""Our classes as plain values and back: what every file that we write is made of."""

from __future__ import annotations

import json
from typing import Any, TypeVar, cast

import attrs
import cattrs
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_unstructure_fn, override

from state.canonical import Plain

T = TypeVar("T")

_LATER = "later"


def later(default: object) -> Any:  # noqa: ANN401  attrs.field is typed so that the annotation of the class attribute decides
    """A field that was added after files of its class were written: left out of them where it has its default.

    So what does not use it is written as it always was, and an older tune can read it.
    """
    return attrs.field(default=default, metadata={_LATER: True})


def plain_converter() -> cattrs.Converter:
    """A converter for our own files: values that are plain already stay as they are, unknown fields are errors."""
    converter = cattrs.Converter(detailed_validation=False, forbid_extra_keys=True)
    converter.register_structure_hook(Plain, lambda value, _: value)

    def unstructure(kind: Any) -> Any:  # noqa: ANN401  a class and its cattrs hook
        left_out = {name: override(omit_if_default=True) for name in later_fields(kind)}
        return make_dict_unstructure_fn(kind, converter, **left_out)  # type: ignore[arg-type]  # names of fields only

    converter.register_unstructure_hook_factory(lambda kind: bool(later_fields(kind)), unstructure)
    return converter


def later_fields(kind: Any) -> tuple[str, ...]:  # noqa: ANN401  whatever cattrs asks about
    """The fields of a class that are left out where they have their defaults."""
    return tuple(one.name for one in attrs.fields(kind) if _LATER in one.metadata) if attrs.has(kind) else ()


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
