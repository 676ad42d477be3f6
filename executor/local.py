"""What this machine can tell a plan: whether the artifacts and checkpoints that it made are still whole."""

from __future__ import annotations

import socket

from planner.diff import Local
from state import artifacts
from state.layout import Layout
from state.record import Checkpoint, Record


def this_machine(layout: Layout) -> Local:
    """The view of this machine on one recipe's folder."""

    def made_here(record: Record) -> bool:
        return record.provenance.host == socket.gethostname()

    def artifact_missing(record: Record) -> bool:
        return bool(record.artifact) and made_here(record) and artifacts.read(layout.root / record.artifact) is None

    def usable(record: Record, checkpoint: Checkpoint) -> bool:
        if not made_here(record):
            return True
        manifest = artifacts.read(layout.root / checkpoint.folder)
        return manifest is not None and manifest.digest == checkpoint.digest

    return Local(artifact_missing, usable)
