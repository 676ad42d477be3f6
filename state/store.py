"""The state file on disk: read as one snapshot, written atomically and only over what was read."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve, frozen

from state import format as state_format
from state.diagnostic import Place, problem
from state.durable import write_atomically
from state.layout import Layout
from state.record import EMPTY, State

FILE = ".tune/state.json"
"""How messages name the state file: relative to the recipe, so that they read the same everywhere."""


@contextmanager
def guarded(layout: Layout) -> Iterator[None]:
    """Hold the guard file for an instant, so that comparing and replacing are one action among processes."""
    layout.create()
    with layout.guard.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@frozen
class Store:
    """Reads and writes one recipe's state."""

    layout: Layout
    tool: str
    """Version of tune, written into the file."""

    def load(self) -> State:
        """The state as last written, or the empty state; raises ProblemError for a file that cannot be trusted."""
        try:
            content = self.layout.state_file.read_bytes()
        except FileNotFoundError:
            return EMPTY
        return state_format.read(content, FILE)

    def save(self, state: State) -> State:
        """Write a state whose `digest` is that of the state it was made from; the serial grows by one.

        Raises ProblemError, having written nothing, if another process wrote in between (compare and swap).
        """
        successor = evolve(state, serial=state.serial + 1, parent_digest=state.digest)
        content, written = state_format.write(successor, self.tool)
        with guarded(self.layout):
            current = self.load()
            if current.digest != state.digest:
                detail = (
                    f"Serial {current.serial} was written by another process while this one worked from {state.serial}."
                )
                hint = "What this command made is kept on disk; run `tune plan` again."
                raise problem("State has moved", detail, hint, Place(FILE))
            write_atomically(self.layout.state_file, content)
        return written
