"""What this machine can tell a plan: whether what it made is still whole, and what it could fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.situation import Local
from state import artifacts
from state.host import host_name
from state.layout import Layout
from state.record import Checkpoint, Record

if TYPE_CHECKING:
    from executor.applying.drift import Bytes
    from state.shared_store import SharedStore  # most plans share nothing, and it takes threads


def this_machine(layout: Layout, shared: SharedStore | None = None, content: Bytes | None = None) -> Local:
    """The view of this machine on one recipe's folder, and on the store that it shares with others.

    With `content`, every byte of what it made is read; without, presence and sizes of files are all that is looked at.
    """

    def made_here(record: Record) -> bool:
        return record.provenance.host == host_name()

    def is_shared(record: Record) -> bool:
        return shared is not None and shared.has(record.action_key)

    def artifact_missing(record: Record) -> bool:
        if not record.artifact or not made_here(record):
            return False
        if content is not None and content.differ(record):
            return True
        return artifacts.read(layout.root / record.artifact) is None and not is_shared(record)

    def usable(record: Record, checkpoint: Checkpoint) -> bool:
        manifest = artifacts.read(layout.root / checkpoint.folder)
        if manifest is not None:
            return manifest.digest == checkpoint.digest
        if shared is not None:
            return shared.has_checkpoint(record.action_key, checkpoint)
        return not made_here(record)

    def find(key: str) -> Record | None:
        found = shared.find(key) if shared is not None else None
        return found.record if found is not None else None

    return Local(artifact_missing, usable, find, shared.backend.where if shared is not None else "")
