"""The state file: JSON with one line for each record and a digest of itself. One reader for each format that shipped.

Lines make a difference readable in version control, and let a reader take the records apart without parsing them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TypeVar

import xxhash
from attrs import evolve

from state.canonical import digest_bytes
from state.diagnostic import Place, ProblemError, problem
from state.entries import Entries
from state.plain import as_bytes, as_line
from state.record import Record, State, Superseded

FORMAT = "tune-state/1"
RESTORE = "Restore it from version control or a backup; tune itself never leaves half a file."

T = TypeVar("T")

_UNSIGNED = b"0" * 32
"""Stands where the digest will be while the digest is computed."""
_DIGEST = re.compile(rb'^"digest": "([0-9a-f]{32})",$', re.MULTILINE)
_NAME = re.compile(rb'("(?:[^"\\]|\\.)*"): \{')
_TABLES = (b"records", b"superseded")


def write(state: State, tool: str) -> tuple[bytes, State]:
    """The file's bytes, and the state as it will be read back from them."""
    head = {
        "digest": _UNSIGNED.decode(),
        "format": FORMAT,
        "history": state.history,
        "lineage": state.lineage,
        "parent_digest": state.parent_digest,
        "serial": state.serial,
        "tool": tool,
    }
    lines = [as_bytes(f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)},") for name, value in head.items()]
    lines += [b'"records": {', *_entry_lines(state.records), b"},"]
    lines += [b'"superseded": {', *_entry_lines(state.superseded), b"}"]
    unsigned = b"\n".join([b"{", *lines, b"}", b""])
    own = digest_bytes(unsigned)
    return unsigned.replace(_UNSIGNED, own.encode(), 1), evolve(state, digest=own)


def _entry_lines(entries: Entries[T]) -> list[bytes]:
    lines = [as_line(name) + b": " + entries.line(name) for name in sorted(entries)]
    return [line + b"," for line in lines[:-1]] + lines[-1:]


def read(content: bytes, file: str) -> State:
    """The state in a file's bytes; every way in which it can be unreadable is a problem that names the file."""
    place = Place(file)
    head = _head(content, place)
    reader = READERS.get(str(head["format"]))
    if reader is None:
        detail = f"`{file}` has the format {head['format']}, written by tune {head.get('tool', 'of a later version')}."
        raise problem("State from a newer tune", detail, f"Upgrade tune; this one reads up to {FORMAT}.", place)
    return reader(content, head, place)


def _head(content: bytes, place: Place) -> dict[str, object]:
    """Everything before the records; from a format that we do not know, whatever it says at its top."""
    end = content.find(b',\n"records": {')
    try:
        head = json.loads(content[:end] + b"}" if end >= 0 else content)
    except (ValueError, RecursionError) as error:
        raise problem("Damaged state", f"`{place.file}` is not complete JSON: {error}.", RESTORE, place) from None
    if not isinstance(head, dict) or not isinstance(head.get("format"), str):
        raise problem("Damaged state", f"`{place.file}` is not a state file: it names no format.", place=place)
    return head


def _read_1(content: bytes, head: dict[str, object], place: Place) -> State:
    claimed = _DIGEST.search(content)
    if claimed is None or _unsigned_digest(content, *claimed.span(1)) != claimed[1].decode():
        detail = f"The content of `{place.file}` does not match its own digest: it was edited or damaged."
        raise problem("Damaged state", detail, "Restore it from version control or a backup.", place)
    records, superseded = (_table(content, name, place) for name in _TABLES)
    try:
        return State(
            lineage=str(head["lineage"]),
            serial=int(str(head["serial"])),
            records=Entries(records, Record, file=place.file),
            superseded=Entries(superseded, Superseded, file=place.file),
            history=str(head["history"]),
            digest=claimed[1].decode(),
            parent_digest=str(head["parent_digest"]),
        )
    except (ValueError, KeyError) as error:
        raise _misshapen(place, error) from None


def _unsigned_digest(content: bytes, start: int, end: int) -> str:
    """The digest of a file as it was before its digest, which lies at these positions, was put into it."""
    whole = memoryview(content)  # a state may have many megabytes, and copying takes longer than reading
    hasher = xxhash.xxh3_128(whole[:start])
    hasher.update(_UNSIGNED)
    hasher.update(whole[end:])
    return hasher.hexdigest()


def _table(content: bytes, name: bytes, place: Place) -> dict[str, bytes]:
    """The lines of one table by name, each without its comma."""
    start = content.find(b'\n"' + name + b'": {\n')
    end = content.find(b"\n}", start + 1)
    if start < 0 or end < 0:
        raise _misshapen(place, f"it has no table `{name.decode()}`")
    names, records = [], []
    begin = start + len(name) + 7
    while begin < end:
        stop = content.find(b"\n", begin)
        found = _NAME.match(content, begin, stop)
        record = content[found.end() - 1 : stop].removesuffix(b",") if found else b""
        if found is None or not record.endswith(b"}"):
            raise _misshapen(place, f"`{content[begin : min(begin + 40, stop)].decode(errors='replace')}` is no entry")
        names.append(found[1])
        records.append(record)
        begin = stop + 1
    return dict(zip(json.loads(b"[" + b",".join(names) + b"]"), records, strict=True))


def _misshapen(place: Place, error: object) -> ProblemError:
    detail = f"`{place.file}` does not have the shape of {FORMAT}: {error}."
    return problem("Damaged state", detail, "Restore it from version control or a backup.", place)


READERS: dict[str, Callable[[bytes, dict[str, object], Place], State]] = {FORMAT: _read_1}
