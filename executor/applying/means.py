"""What an apply works with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from attrs import evolve

from executor.applying.drift import Bytes
from executor.applying.provenance import Origin
from executor.applying.shelf import Shelf
from executor.workers.launch import Emit, Stop
from executor.workers.task import Outcome, Task
from executor.workers.world import Host
from planner.kind import Kinds
from state.layout import Layout
from state.shared_store import SharedStore
from state.values import frozen
from state.writer import Writer

Build: TypeAlias = Callable[[Task, Emit, Stop, Path], Outcome]
"""Builds a task: executor.workers.launch.run_in_worker, or in this process for kinds that need no other."""


@frozen
class Means:
    """What an apply works with."""

    kinds: Kinds
    layout: Layout
    writer: Writer
    store: SharedStore | None
    """Where artifacts are shared, if anywhere."""
    origin: Origin
    build: Build
    emit: Emit
    stop: Stop
    content: Bytes | None = None
    """What was read of artifacts where not even their bytes are taken on trust."""
    host: Host = Host()
    """Which of the nodes this is, where there are several."""

    @property
    def shared(self) -> SharedStore | None:
        """The shared store as the state at hand uses it."""
        return self.store and evolve(self.store, lineage=self.writer.state.lineage)

    @property
    def shelf(self) -> Shelf:
        """Where artifacts are found."""
        return Shelf(self.layout, self.shared, self.emit)
