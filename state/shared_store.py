"""What one machine made and others fetch: artifacts and checkpoints in any place that is a `Backend`.

    objects/<first two digits>/<xxh3-128>-<size>              files of artifacts, by their content
    artifacts/<action key>/manifest.json                      written last: without it the artifact does not exist
    artifacts/<action key>/used_by/<lineage>                  empty: the state of this lineage relies on it
    checkpoints/<action key>/<lineage>/<step>-<digest>/       its manifest, written last, and its files by their content

Files of checkpoints are never shared with others, so that a checkpoint can go without asking who else needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import cast

from state import artifacts, shared_transfer
from state.artifacts import MANIFEST, FileEntry, Manifest
from state.backend import Backend, ConflictError, Moved
from state.canonical import Plain
from state.diagnostic import Place, problem
from state.plain import from_plain, record_to_plain
from state.record import Checkpoint, Record
from state.shared_transfer import Naming
from state.shared_trust import is_plain_path, pickled, read_manifest, refused
from state.values import frozen

OBJECTS = "objects/"
ARTIFACTS = "artifacts/"
CHECKPOINTS = "checkpoints/"
USERS = "used_by"


@frozen
class SharedArtifact:
    """An artifact in a store, and what is known of how it was made."""

    address: str
    """What its maker called it."""
    record: Record
    manifest: Manifest
    """The one that the fetched folder will have."""


@frozen
class SharedStore:
    """A place for artifacts, and the state that relies on what it keeps there."""

    backend: Backend
    lineage: str

    def keys(self) -> set[str]:
        """The action keys of all artifacts, from one listing."""
        names = (one.name.split("/") for one in self.backend.list(ARTIFACTS))
        return {parts[1] for parts in names if parts[2:] == [MANIFEST]}

    def has(self, key: str) -> bool:
        """Whether there is an artifact of an action key."""
        return self.backend.size(artifact_name(key)) is not None

    def find(self, key: str) -> SharedArtifact | None:
        """The artifact of an action key, proved to be one of this key; raises ProblemError for one that is not."""
        manifest = read_manifest(self.backend, artifact_name(key))
        if manifest is None:
            return None
        try:
            address, notes = str(manifest.notes["address"]), dict(cast("dict[str, Plain]", manifest.notes["notes"]))
            record = from_plain(manifest.notes["record"], Record)
        except (KeyError, TypeError, ValueError) as error:
            raise refused(self.backend, artifact_name(key), f"it holds no record: {error}") from None
        if record.action_key != key:
            raise refused(self.backend, artifact_name(key), "its record is of another action key")
        folders = [one for one in (record.artifact, *(one.folder for one in record.checkpoints)) if one]
        if not all(is_plain_path(one) for one in folders):
            raise refused(self.backend, artifact_name(key), "its record names a folder outside `.tune`")
        return SharedArtifact(address, record, Manifest(manifest.files, notes))

    def publish(self, folder: Path, address: str, record: Record, moved: Moved) -> SharedArtifact:
        """Store a complete artifact under its record's action key, and say what is there now.

        That may be what somebody else made under the same key, if they were faster: theirs stays.
        """
        key, manifest = record.action_key, _complete(folder)
        _refuse_pickles(manifest, str(folder), checkpoint=False)
        self._rely_on(key)
        there = self.find(key)
        if there is not None and there.manifest.files != manifest.files:
            return there
        shared_transfer.upload(self.backend, object_name, folder, manifest, moved)
        if there is None:
            notes: dict[str, Plain] = {"address": address, "record": record_to_plain(record), "notes": manifest.notes}
            try:
                self.backend.put_if_absent(artifact_name(key), artifacts.to_bytes(Manifest(manifest.files, notes)))
            except ConflictError:
                there = self.find(key)
        # A collection elsewhere may have taken an old file that was still there when we looked, before we named it.
        shared_transfer.upload(self.backend, object_name, folder, manifest, moved)
        return there or SharedArtifact(address, record, manifest)

    def fetch(self, found: SharedArtifact, folder: Path, moved: Moved) -> Manifest:
        """Bring an artifact here; a folder that is complete already is left as it is."""
        self._rely_on(found.record.action_key)
        present = artifacts.read(folder)
        if present is not None:
            return present
        file = f"{self.backend.where}/{artifact_name(found.record.action_key)}"
        _refuse_pickles(found.manifest, file, checkpoint=False)
        shared_transfer.fetch(self.backend, object_name, found.manifest, folder, moved)
        return found.manifest

    def release(self, key: str) -> None:
        """Say that this state does not rely on an artifact any more; a collection removes it when nobody does."""
        self.backend.delete(user_name(key, self.lineage))

    def has_checkpoint(self, key: str, checkpoint: Checkpoint) -> bool:
        """Whether all of a checkpoint is there."""
        return self.backend.size(self._place(key, checkpoint) + MANIFEST) is not None

    def publish_checkpoint(self, key: str, checkpoint: Checkpoint, folder: Path, moved: Moved) -> None:
        """Store a complete checkpoint, then remove the run's earlier ones, whole: only the newest is continued from."""
        manifest, place = _complete(folder), self._place(key, checkpoint)
        _prove(manifest, checkpoint, str(folder))
        if not self.has_checkpoint(key, checkpoint):
            shared_transfer.upload(self.backend, _below(place), folder, manifest, moved)
            # Another content under this name can only be another writing of the same: the digest is in the name.
            with suppress(ConflictError):
                self.backend.put_if_absent(place + MANIFEST, artifacts.to_bytes(manifest))
        run = self._run(key)
        names = (one.name for one in self.backend.list(run))
        self.remove_checkpoints(name for name in names if _is_before(name.removeprefix(run), checkpoint.step))

    def fetch_checkpoint(self, key: str, checkpoint: Checkpoint, folder: Path, moved: Moved) -> Manifest:
        """Bring the checkpoint here that state names, no other; if it is here already, it is left as it is."""
        present = artifacts.read(folder)
        if present is not None and present.digest == checkpoint.digest:
            return present
        place = self._place(key, checkpoint)
        manifest = read_manifest(self.backend, place + MANIFEST)
        if manifest is None:
            detail = f"The checkpoint of step {checkpoint.step} is not in `{self.backend.where}`."
            raise problem("Checkpoint not in the store", detail, "Run `tune plan` again: it does without.")
        _prove(manifest, checkpoint, f"{self.backend.where}/{place}{MANIFEST}")
        shared_transfer.fetch(self.backend, _below(place), manifest, folder, moved)
        return manifest

    def remove_checkpoints(self, names: Iterable[str]) -> None:
        """Remove files of checkpoints, manifests first, so that no instant shows a manifest without its files."""
        for name in sorted(names, key=lambda name: not name.endswith(f"/{MANIFEST}")):
            self.backend.delete(name)

    def _run(self, key: str) -> str:
        return f"{CHECKPOINTS}{key}/{self.lineage}/"

    def _place(self, key: str, checkpoint: Checkpoint) -> str:
        return f"{self._run(key)}{checkpoint.step}-{checkpoint.digest}/"

    def _rely_on(self, key: str) -> None:
        """Say so before the artifact is looked for: a collection that sees nobody removes it."""
        self.backend.put_if_absent(user_name(key, self.lineage), b"")


def artifact_name(key: str) -> str:
    """Under which name a store holds the manifest of an action key."""
    return f"{ARTIFACTS}{key}/{MANIFEST}"


def user_name(key: str, lineage: str) -> str:
    """Under which name a store holds that a state relies on an artifact."""
    return f"{ARTIFACTS}{key}/{USERS}/{lineage}"


def object_name(entry: FileEntry) -> str:
    """Under which name a store holds a file of any artifact."""
    return f"{OBJECTS}{entry.digest[:2]}/{entry.digest}-{entry.size}"


def _below(place: str) -> Naming:
    """Under which names a store holds the files of one checkpoint."""
    return lambda entry: f"{place}{entry.digest}-{entry.size}"


def _is_before(name: str, step: int) -> bool:
    """Whether a name below a run's folder is of a checkpoint before a step."""
    found = name.partition("-")[0]
    return found.isdecimal() and int(found) < step


def _complete(folder: Path) -> Manifest:
    manifest = artifacts.read(folder)
    if manifest is None:
        raise problem("Nothing to share", f"`{folder}` is not complete.", "Run `tune plan` again to see what it needs.")
    return manifest


def _prove(manifest: Manifest, checkpoint: Checkpoint, file: str) -> None:
    """A checkpoint is the one that state names, and nothing in it can run code."""
    if manifest.digest != checkpoint.digest:
        detail = f"It is not the checkpoint of step {checkpoint.step} that state names."
        raise problem("Checkpoint refused", detail, "Run `tune plan` again.", Place(file))
    _refuse_pickles(manifest, file, checkpoint=True)


def _refuse_pickles(manifest: Manifest, file: str, *, checkpoint: bool) -> None:
    path = pickled(manifest, checkpoint=checkpoint)
    if path is not None:
        detail = f"`{path}` is of a format whose files may run code when they are loaded; such files are not shared."
        raise problem("Pickle refused", detail, "Weights are shared as `.safetensors`.", Place(file))
