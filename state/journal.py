"""What is being done, on disk before it is done, so that a killed run becomes a planned resume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

from attrs import evolve, frozen

from state.canonical import Plain, digest
from state.change import put
from state.diagnostic import Place, problem
from state.durable import append_line, write_atomically
from state.format import as_bytes, from_plain, record_to_plain
from state.layout import Layout
from state.record import Checkpoint, Record, State
from state.store import Store

FILE = ".tune/journal.jsonl"


@frozen
class Begun:
    """Work on a resource starts; the record is what state must say if nothing more is ever heard of it."""

    address: str
    record: Record


@frozen
class Checkpointed:
    """A checkpoint of the work in progress is complete; `kept` are all that are left after rotation."""

    address: str
    kept: tuple[Checkpoint, ...]


@frozen
class Ended:
    """Work on a resource ended, well or badly."""

    address: str
    record: Record


Entry: TypeAlias = Begun | Checkpointed | Ended

ENTRIES: dict[str, type[Begun | Checkpointed | Ended]] = {"begin": Begun, "checkpoint": Checkpointed, "end": Ended}
NAMES = {entry: name for name, entry in ENTRIES.items()}


@frozen
class Journal:
    """The journal file of one recipe."""

    layout: Layout

    def append(self, entry: Entry) -> None:
        """Write one entry and return only when it is on the disk."""
        body: dict[str, Plain] = {"entry": NAMES[type(entry)], **record_to_plain(entry)}
        line = json.dumps({"digest": digest(body), "body": body}, sort_keys=True, ensure_ascii=False)
        append_line(self.layout.journal, as_bytes(line))

    def read(self) -> tuple[Entry, ...]:
        """All complete entries; a last line that a crash cut short was never acted upon and is left out."""
        try:
            content = self.layout.journal.read_bytes()
        except FileNotFoundError:
            return ()
        *lines, _torn = content.split(b"\n")
        return tuple(_parse(line, number) for number, line in enumerate(lines, start=1))

    def clear(self) -> None:
        """Forget everything, once the state file says it all."""
        if self.layout.journal.exists() and self.layout.journal.stat().st_size:
            write_atomically(self.layout.journal, b"")


def fold(state: State, entries: Sequence[Entry]) -> State:
    """The state that the entries lead to; folding the same entries again changes nothing."""
    for entry in entries:
        match entry:
            case Begun(address, record) | Ended(address, record):
                state = put(state, address, record)
            case Checkpointed(address, kept):
                state = put(state, address, evolve(state.records[address], checkpoints=kept))
    return state


def current_state(store: Store) -> State:
    """The state as it is: what was written, and what a killed run left in the journal."""
    return fold(store.load(), Journal(store.layout).read())


def _parse(line: bytes, number: int) -> Entry:
    place = Place(FILE, number)
    try:
        whole = json.loads(line)
        body = whole["body"]
        intact = whole["digest"] == digest(body)
        entry = ENTRIES[body.pop("entry")]
        if intact:
            return from_plain(body, entry)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    detail = "This entry does not match its own digest: the file was edited or damaged."
    hint = "Remove the file to give up the work in progress that it describes; finished work is in the state."
    raise problem("Damaged journal", detail, hint, place)
