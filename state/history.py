"""All that was ever written to the state, one entry for each write, each naming the one before by its sha256.

An entry holds the records that its write changed, so that the state of any serial can be told, and what made a file can
be answered long after the file was collected. Entries are named by their own digest and never replaced: one that a
killed writer left behind is named by nothing and does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from attrs import field

from state.backend import Backend, ConflictError
from state.diagnostic import Place, ProblemError, problem
from state.plain import as_line, from_plain, record_to_plain
from state.record import Record, State
from state.values import frozen

FOLDER = "history/"
FORMAT = "tune-history/1"


@frozen
class Author:
    """Who writes, through which command, for which plan."""

    who: str
    """User and host."""
    command: str
    plan: str = ""
    """Digest of the plan, or "" where there is none."""


@frozen
class HistoryEntry:
    """One write of the state."""

    serial: int
    when: str
    """UTC, ISO 8601."""
    author: Author
    parent: str
    """The sha256 of the entry before, or "" for the first."""
    records: Mapping[str, Record | None]
    """What each changed address was set to; None where it was forgotten."""
    because: str = ""
    """The reason that a person gave, or what the command has to say about itself."""
    format: str = field(default=FORMAT)


@frozen
class History:
    """The entries at one place."""

    backend: Backend

    def add(self, entry: HistoryEntry) -> str:
        """Write an entry and return its sha256; done before the state that names it is written."""
        content = as_line(record_to_plain(entry)) + b"\n"
        digest = _sha256(content)
        try:
            self.backend.put_if_absent(name_of(entry.serial, digest), content)
        except ConflictError:
            raise self._damaged(name_of(entry.serial, digest), "it holds something else than its name says") from None
        return digest

    def entry(self, serial: int, digest: str) -> HistoryEntry:
        """One entry, proved by its digest; raises ProblemError if it is missing or damaged."""
        name = name_of(serial, digest)
        stored = self.backend.get(name)
        if stored is None:
            raise self._damaged(name, "it is missing")
        if _sha256(stored.content) != digest:
            raise self._damaged(name, "its content does not match its own digest")
        try:
            body = json.loads(stored.content)
            if body["format"] != FORMAT:
                raise self._newer(name, body["format"])
            entry = from_plain(body, HistoryEntry)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(name, f"it does not have the shape of {FORMAT}: {error!r}") from None
        if entry.serial != serial:
            raise self._damaged(name, f"it says that it is of serial {entry.serial}")
        return entry

    def newest_first(self, state: State) -> Iterator[tuple[str, HistoryEntry]]:
        """Every entry with its sha256, from the state's own back to the first; raises ProblemError where it breaks."""
        serial, digest = state.serial, state.history
        while digest:
            entry = self.entry(serial, digest)
            yield digest, entry
            serial, digest = serial - 1, entry.parent
        if serial:
            raise self._damaged(f"{FOLDER}{serial:08d}-*.json", "the entry after it, or the state, names none before")

    def records_at(self, state: State, serial: int) -> dict[str, Record]:
        """The records as they were after the write of a serial; raises ProblemError for a serial there never was."""
        if not 0 <= serial <= state.serial:
            detail = f"There is no serial {serial}: the state is at {state.serial}."
            raise problem("Unknown serial", detail, "`tune state log` lists them.")
        found: dict[str, Record | None] = {}
        for _, entry in self.newest_first(state):
            if entry.serial <= serial:
                for address, record in entry.records.items():
                    found.setdefault(address, record)
        return {address: record for address, record in found.items() if record is not None}

    def _damaged(self, name: str, why: str) -> ProblemError:
        detail = f"The history entry cannot be trusted: {why}."
        hint = "Restore it from version control or a backup. The state itself is whole; `tune state verify` checks all."
        return problem("Damaged history", detail, hint, self._place(name))

    def _newer(self, name: str, found: object) -> ProblemError:
        detail = f"The entry has the format {found}; this tune reads {FORMAT}."
        return problem("History from a newer tune", detail, "Upgrade tune.", self._place(name))

    def _place(self, name: str) -> Place:
        return Place(f"{self.backend.where}/{name}")


def name_of(serial: int, digest: str) -> str:
    """The object that holds an entry."""
    return f"{FOLDER}{serial:08d}-{digest}.json"


def _sha256(content: bytes) -> str:
    """Of an entry; the library is loaded where one is read or written, for a plan does neither."""
    import hashlib

    return hashlib.sha256(content).hexdigest()
