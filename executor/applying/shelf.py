"""Where artifacts and checkpoints are found: on this machine, else in the shared store, from which they are fetched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from executor.workers import events
from executor.workers.events import Event
from state import artifacts
from state.artifacts import Manifest
from state.diagnostic import Diagnostic, ProblemError, problem
from state.layout import Layout
from state.record import Checkpoint, Record
from state.shared_store import SharedArtifact, SharedStore
from state.values import frozen

MEGABYTE = 1_000_000


@frozen
class Shelf:
    """The artifacts of one recipe."""

    layout: Layout
    shared: SharedStore | None
    emit: Callable[[Event], None]

    def folder(self, address: str, record: Record) -> Path:
        """The folder of a record's artifact, fetched if need be; raises ProblemError if it is nowhere to be had."""
        folder = self.layout.root / record.artifact
        if artifacts.read(folder) is None:
            self.fetch(address, self._shared_or_nowhere(address, record), folder)
        return folder

    def missing(self, address: str, record: Record) -> Diagnostic | None:
        """What to tell where a record's artifact is nowhere to be had; None where it is, or needs none."""
        if not record.artifact or artifacts.read(self.layout.root / record.artifact) is not None:
            return None
        try:
            self._shared_or_nowhere(address, record)
        except ProblemError as error:
            return error.diagnostics[0]
        return None

    def _shared_or_nowhere(self, address: str, record: Record) -> SharedArtifact:
        found = self.find(record.action_key)
        if found is not None and found.manifest.digests == record.files:
            return found
        detail = f"{address} was made on {record.provenance.host}; its artifact is not on this machine."
        where = "" if self.shared is None else f", and not in {self.shared.backend.where}"
        hint = f'Copy `.tune/{record.artifact}` here, apply there, or share artifacts: `[state] artifacts = "s3://…"`.'
        raise problem("Artifact not here", detail.removesuffix(".") + f"{where}.", hint)

    def find(self, key: str) -> SharedArtifact | None:
        """What the shared store has under an action key."""
        return self.shared.find(key) if self.shared is not None else None

    def fetch(self, address: str, found: SharedArtifact, folder: Path) -> Manifest:
        """Bring an artifact of the shared store here."""
        assert self.shared is not None  # noqa: S101  only what was found in it is fetched
        self.emit(events.Message(address, f"fetching from {self.shared.backend.where}"))
        return self.shared.fetch(found, folder, self._telling(address, found.manifest.size))

    def fetch_checkpoint(self, address: str, key: str, checkpoint: Checkpoint) -> None:
        """Bring a checkpoint here, if it is not, and if the shared store has it."""
        folder = self.layout.root / checkpoint.folder
        if self.shared is None or artifacts.read(folder) is not None:
            return
        if self.shared.has_checkpoint(key, checkpoint):
            self.emit(events.Message(address, f"fetching the checkpoint of step {checkpoint.step}"))
            self.shared.fetch_checkpoint(key, checkpoint, folder, self._telling(address, 0))

    def publish(self, address: str, record: Record) -> SharedArtifact | None:
        """Share an artifact that is here, if there is a store to share it in; returns what the store has then."""
        if self.shared is None or not record.artifact:
            return None
        folder = self.layout.root / record.artifact
        manifest = artifacts.read(folder)
        if manifest is None:
            return None
        return self.shared.publish(folder, address, record, self._telling(address, manifest.size))

    def _telling(self, address: str, total: int) -> Callable[[int], None]:
        """Turns bytes that were moved into progress, told in whole megabytes."""
        done = 0

        def moved(count: int) -> None:
            nonlocal done
            before, done = done, done + count
            if done // MEGABYTE != before // MEGABYTE:
                self.emit(events.Progress(address, done // MEGABYTE, max(total, done) // MEGABYTE, "MB", {}, None))

        return moved
