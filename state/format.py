"""The state file: canonical, documented JSON with a digest of itself. One reader for each format that ever shipped."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar, cast

import cattrs
from attrs import evolve
from cattrs.errors import ForbiddenExtraKeysError

from state.canonical import Plain, digest, matches
from state.diagnostic import Place, problem
from state.record import HistoryEntry, State

FORMAT = "tune-state/1"

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


def history_digest(entry: HistoryEntry) -> str:
    """What the next history entry names as its parent."""
    return digest(record_to_plain(entry))


def write(state: State, tool: str) -> tuple[bytes, State]:
    """The file's bytes, and the state as it will be read back from them."""
    body = record_to_plain(state)
    del body["digest"]
    body |= {"format": FORMAT, "tool": tool}
    own = digest(body)
    text = json.dumps(body | {"digest": own}, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return as_bytes(text + "\n"), evolve(state, digest=own)


def as_bytes(text: str) -> bytes:
    """JSON text in UTF-8; what Python puts for the undecodable bytes of a file name is escaped, as JSON allows."""
    return text.encode("utf-8", "backslashreplace")


def read(content: bytes, file: str) -> State:
    """The state in a file's bytes; every way in which it can be unreadable is a problem that names the file."""
    place = Place(file)
    try:
        body = json.loads(content)
    except ValueError as error:
        detail = f"`{file}` is not complete JSON: {error}."
        hint = "Restore it from version control or a backup; tune itself never leaves half a file."
        raise problem("Damaged state", detail, hint, place) from None
    if not isinstance(body, dict) or not isinstance(body.get("format"), str):
        raise problem("Damaged state", f"`{file}` is not a state file: it names no format.", place=place)
    reader = READERS.get(body["format"])
    if reader is None:
        detail = f"`{file}` has the format {body['format']}, written by tune {body.get('tool', 'of a later version')}."
        raise problem("State from a newer tune", detail, f"Upgrade tune; this one reads up to {FORMAT}.", place)
    return reader(body, place)


def _read_1(body: dict[str, Plain], place: Place) -> State:
    claimed = body.pop("digest", None)
    if not matches(claimed, body):
        detail = f"The content of `{place.file}` does not match its own digest: it was edited or damaged."
        raise problem("Damaged state", detail, "Restore it from version control or a backup.", place)
    fields = {key: value for key, value in body.items() if key not in ("format", "tool")}
    try:
        return from_plain(cast("Plain", fields | {"digest": claimed}), State)
    except (ValueError, KeyError, TypeError) as error:
        detail = f"`{place.file}` does not have the shape of {FORMAT}: {error}."
        raise problem("Damaged state", detail, "Restore it from version control or a backup.", place) from None


READERS: dict[str, Callable[[dict[str, Plain], Place], State]] = {FORMAT: _read_1}
