"""The state file: read as one snapshot, written only over what was read, its history first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attrs import evolve, field

from state import format as state_format
from state.backend import Backend, ConflictError
from state.diagnostic import Place, problem
from state.record import EMPTY, State
from state.values import mutable

if TYPE_CHECKING:
    from state.history import Author, History

NAME = "state.json"


@mutable
class Store:
    """Reads and writes one recipe's state."""

    backend: Backend
    tool: str
    """Version of tune, written into the file."""
    _seen: State = field(default=EMPTY, init=False)
    """The state as this store last read or wrote it."""
    _version: str = field(default="", init=False)
    """The version of the object that `_seen` is; "" where there is none."""

    @property
    def history(self) -> History:
        """All that was ever written; what reads and writes it is loaded when it is, for a plan does neither."""
        from state.history import History

        return History(self.backend)

    @property
    def file(self) -> str:
        """How messages name the state file."""
        return f"{self.backend.where}/{NAME}"

    def load(self) -> State:
        """The state as last written, or the empty state; raises ProblemError for a file that cannot be trusted."""
        stored = self.backend.get(NAME)
        if stored is None:
            self._seen, self._version = EMPTY, ""
        elif stored.version != self._version:
            self._seen, self._version = state_format.read(stored.content, self.file), stored.version
        return self._seen

    def save(self, state: State, author: Author, because: str = "") -> State:
        """Write a state whose `digest` is that of the state it was made from; the serial grows by one.

        Raises ProblemError, having changed nothing, if another process wrote in between (compare and swap).
        """
        from state.clock import timestamp
        from state.history import HistoryEntry

        if self._seen.digest != state.digest and self.load().digest != state.digest:
            raise self._moved(state)
        before = self._seen
        entry = HistoryEntry(
            state.serial + 1, timestamp(), author, before.history, state.records.since(before.records), because
        )
        successor = evolve(
            state,
            lineage=state.lineage or os.urandom(16).hex(),
            serial=entry.serial,
            parent_digest=before.digest,
            history=self.history.add(entry),
        )
        return self._swap(state, successor)

    def replace(self, content: bytes, state: State) -> State:
        """Put a state file from elsewhere, whose entries are in the history already, in the place of what was read."""
        return self._put(self._seen, content, state)

    def _swap(self, before: State, successor: State) -> State:
        content, written = state_format.write(successor, self.tool)
        return self._put(before, content, written)

    def _put(self, before: State, content: bytes, written: State) -> State:
        try:
            if self._version:
                self._version = self.backend.put_if_match(NAME, content, self._version)
            else:
                self._version = self.backend.put_if_absent(NAME, content)
        except ConflictError:
            raise self._moved(before) from None
        self._seen = written
        return written

    def _moved(self, state: State) -> Exception:
        detail = f"Another process wrote it while this one worked from serial {state.serial}."
        hint = "What this command made is kept on disk; run `tune plan` again."
        return problem("State has moved", detail, hint, Place(self.file))
