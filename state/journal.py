"""What is being done, written before it is done, so that a killed run becomes a planned resume.

The journal is one small object that is replaced as a whole, wherever the state lies: an entry counts for the serial of
the state that it was written on top of, so that a state which says it all needs nobody to clear the journal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

from attrs import evolve, field

from state.backend import Backend, ConflictError
from state.canonical import Plain, digest
from state.change import put
from state.diagnostic import Place, ProblemError, problem
from state.plain import as_line, from_plain, record_to_plain
from state.record import Checkpoint, Record, State
from state.store import Store
from state.values import frozen, mutable

NAME = "journal.json"
FORMAT = "tune-journal/1"


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


@mutable
class Journal:
    """The journal of one recipe's state."""

    backend: Backend
    _entries: tuple[Entry, ...] = field(default=(), init=False)
    _belongs_to: tuple[str, int] = field(default=("", 0), init=False)
    """Lineage and serial of the state that the entries were written on top of."""
    _version: str = field(default="", init=False)

    @property
    def file(self) -> str:
        """How messages name the journal."""
        return f"{self.backend.where}/{NAME}"

    def read(self, state: State) -> tuple[Entry, ...]:
        """The entries on top of a state; raises ProblemError for a journal that cannot be trusted."""
        stored = self.backend.get(NAME)
        if stored is None:
            self._entries, self._version = (), ""
        elif stored.version != self._version:
            self._entries, self._belongs_to = self._parse(stored.content)
            self._version = stored.version
        return self._entries if self._belongs_to == (state.lineage, state.serial) else ()

    def append(self, entry: Entry, state: State) -> None:
        """Write one entry on top of a state and return only when it is stored; what belongs to older states goes.

        Raises ProblemError if another process has written since this one read: it has lost its place.
        """
        on_top = (state.lineage, state.serial)
        self._write((*self._entries, entry) if self._belongs_to == on_top else (entry,), on_top)

    def claim(self, state: State) -> None:
        """Begin anew on top of a state: whoever wrote the journal before has lost their place in it."""
        self._write((), (state.lineage, state.serial))

    def _write(self, entries: tuple[Entry, ...], on_top: tuple[str, int]) -> None:
        content = _as_bytes(entries, on_top)
        try:
            if self._version:
                self._version = self.backend.put_if_match(NAME, content, self._version)
            else:
                self._version = self.backend.put_if_absent(NAME, content)
        except ConflictError:
            detail = "Another process has written it while this one worked: this one stops without writing."
            raise problem("Journal has moved", detail, "Run `tune plan` again.", Place(self.file)) from None
        self._entries, self._belongs_to = entries, on_top

    def _parse(self, content: bytes) -> tuple[tuple[Entry, ...], tuple[str, int]]:
        try:
            body = json.loads(content)
            if body["format"] != FORMAT:
                raise self._newer(body["format"])
            # Byte for byte as we write it: what merely means the same was changed by somebody, too.
            if content == as_line(body) + b"\n" and body.pop("digest") == digest(body):
                return tuple(_entry(one) for one in body["entries"]), (body["lineage"], body["serial"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        detail = "Its content does not match its own digest: it was edited or damaged."
        hint = "Remove it to give up the work in progress that it describes; finished work is in the state."
        raise problem("Damaged journal", detail, hint, Place(self.file))

    def _newer(self, found: object) -> ProblemError:
        detail = f"`{self.file}` has the format {found}; this tune reads {FORMAT}."
        return problem("Journal from a newer tune", detail, "Upgrade tune.", Place(self.file))


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
    state = store.load()
    return fold(state, Journal(store.backend).read(state))


def _as_bytes(entries: Sequence[Entry], on_top: tuple[str, int]) -> bytes:
    plain: list[Plain] = [{"entry": NAMES[type(one)], **record_to_plain(one)} for one in entries]
    body: dict[str, Plain] = {"format": FORMAT, "lineage": on_top[0], "serial": on_top[1], "entries": plain}
    return as_line({**body, "digest": digest(body)}) + b"\n"


def _entry(plain: dict[str, Plain]) -> Entry:
    fields = {name: value for name, value in plain.items() if name != "entry"}
    return from_plain(fields, ENTRIES[str(plain["entry"])])
