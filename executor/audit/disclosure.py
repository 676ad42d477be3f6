"""What may leave the house: values without the places where a machine keeps things, and without credentials."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PureWindowsPath

from planner.desired import flatten
from state.canonical import Plain
from state.record import Record

_ABSOLUTE = re.compile(r"(?:/|~/|~\\|\\\\|file:/|[A-Za-z]:[\\/])[^\n]*")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/?#\s]*@)?([^?#\s]*)\S*")


def public(value: Plain) -> Plain:
    """A value in which every absolute path is its last part, and every URL has neither user nor query."""
    if isinstance(value, str):
        return public_text(value)
    if isinstance(value, Mapping):
        return {public_text(name): public(one) for name, one in sorted(value.items())}
    if isinstance(value, Sequence):
        return [public(one) for one in value]
    return value


def public_text(text: str) -> str:
    """The same for one string, which is a path or a URL as a whole or stays as it is."""
    if _ABSOLUTE.fullmatch(text):
        # Takes both kinds of slashes.
        return f".../{PureWindowsPath(text).name}"
    url = _URL.fullmatch(text)
    return url[1] + url[2] if url else text


def as_text(value: Plain) -> str:
    """A public value where only text can stand: strings as they are, everything else as JSON."""
    shown = public(value)
    return shown if isinstance(shown, str) else json.dumps(shown, sort_keys=True, ensure_ascii=False)


def settings(record: Record) -> Iterator[tuple[str, Plain]]:
    """The settings by dotted path, as they may be shown."""
    return ((public_text(path), public(value)) for path, value in sorted(flatten(record.settings).items()))
