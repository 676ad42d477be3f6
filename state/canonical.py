"""Plain values to one byte string, and from that to a digest; what identity means is decided here alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import xxhash

if TYPE_CHECKING:
    Plain: TypeAlias = bool | int | float | str | Sequence["Plain"] | Mapping[str, "Plain"] | None
else:

    class Plain:
        """What settings, state and plans are made of: JSON's types, so that anything can be written and compared.

        At run time it is a mark for `state/shapes.py`: no type that is read can contain itself.
        """


FORMAT_TAG = b"tune-canonical-1\n"
"""Stands in front of every encoded value; a change to the encoding must change it."""
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def encode(value: Plain) -> bytes:
    """The one byte form of a value: typed JSON with sorted keys.

    `1` and `1.0` and `true` differ, `-0.0` and `0.0` do not, tuples are lists; NaN and infinity raise ValueError.
    """
    return FORMAT_TAG + _JSON.encode(_without_negative_zero(value)).encode("utf-8", "surrogatepass")


def digest(value: Plain) -> str:
    """The xxh3-128 of the value's canonical bytes, 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(encode(value))


def matches(claimed: object, value: Plain) -> bool:
    """Whether a digest is that of the value; no digest is that of a value that holds NaN."""
    try:
        return claimed == digest(value)
    except ValueError:
        return False


def digest_bytes(content: bytes) -> str:
    """The xxh3-128 of raw bytes, 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(content)


TABLES = (dict, Mapping)
LISTS = (list, Sequence)
"""What is nearly always meant stands first: asking the abstract classes takes ten times as long."""
_AS_THEY_ARE = frozenset({str, int, bool})


def _without_negative_zero(value: Plain) -> Plain:
    if value is None or type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, TABLES):
        if not all(type(key) is str or isinstance(key, str) for key in value):
            message = "only strings can be keys of an identity"
            raise TypeError(message)
        return {key: one if type(one) in _AS_THEY_ARE else _without_negative_zero(one) for key, one in value.items()}
    if isinstance(value, LISTS) and not isinstance(value, str):
        return [_without_negative_zero(one) for one in value]
    return value
