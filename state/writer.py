"""The right to change a state, and the only way to do it: locked, recovered, journalled, one write after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import field

from state.history import Author
from state.journal import Entry, Journal, fold
from state.lock import Lock
from state.record import EMPTY, State
from state.store import Store
from state.values import mutable


@mutable
class Writer:
    """Changes one state while its lock is held."""

    store: Store
    journal: Journal
    lock: Lock
    author: Author
    state: State = field(default=EMPTY, init=False)
    """As last read or written."""
    found: str = field(default="", init=False)
    """Digest of the state as it was read, before anything was recovered."""

    def recover(self) -> None:
        """Read the state and write down what a killed run left in the journal.

        After a lock was taken from a dead owner both state and journal are written in any case: should that owner wake
        up, what it believes to write over is no longer there.
        """
        self.state = self.store.load()
        self.found = self.state.digest
        entries = self.journal.read(self.state)
        folded = fold(self.state, entries)
        before = self.lock.taken_from
        if before is not None:
            self.save(folded, f"took over the lock of {before}")
        elif entries:
            self.save(folded, "recovered the journal of a run that was killed")
        if before is not None:
            self.journal.claim(self.state)

    def name(self) -> None:
        """Give a state its lineage before anything is done in its name: what is shared must be found again by it."""
        if not self.state.lineage:
            self.save(self.state, "began this state")

    def begin(self, entry: Entry) -> None:
        """Write a journal entry before what it says is done, or right after."""
        self.lock.check()
        self.journal.append(entry, self.state)

    def save(self, state: State, because: str = "") -> None:
        """Write a state that was made from the present one; raises ProblemError if lock or state were lost."""
        self.lock.check()
        self.state = self.store.save(state, self.author, because)


@contextmanager
def writing(store: Store, lock: Lock, author: Author) -> Iterator[Writer]:
    """Take the lock, recover what a killed run left, and give the lock back in the end."""
    with lock:
        writer = Writer(store, Journal(store.backend), lock, author)
        writer.recover()
        yield writer
