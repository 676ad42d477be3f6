"""One step that builds: journalled before it is begun, checkpointed while it runs, published when it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from attrs import evolve

from executor.applying.checkpoint_uploads import CheckpointUploads, shareable
from executor.applying.means import Means
from executor.applying.recording import Artifact, Recorder
from executor.applying.smaller_batches import build_in_memory
from executor.workers import events
from executor.workers.launch import InterruptedStepError
from executor.workers.task import Input, Outcome, Task, outcome_of
from executor.workers.world import world_of
from planner.plan import Planning
from state import artifacts
from state.artifacts import Manifest
from state.change import put
from state.clock import now
from state.diagnostic import ProblemError
from state.journal import Begun, Checkpointed, Ended
from state.record import Record, Status
from state.secrets import without_secrets
from state.shared_store import SharedArtifact
from state.values import frozen

DRAIN_SECONDS = 100.0
"""How long the last checkpoint may take to leave the machine, if nobody says how long that is."""
DONE = {
    "build": "built", "rebuild": "rebuilt", "resume": "resumed", "extend": "extended", "shorten": "shortened",
}  # fmt: skip


@frozen
class Built:
    """What became of a step, and its record."""

    record: Record
    result: str


@frozen
class Building:
    """The work of one step."""

    recorder: Recorder
    means: Means
    planning: Planning

    @property
    def address(self) -> str:
        """What is built."""
        return self.recorder.desired.address

    @property
    def folder(self) -> Path:
        """Where it is built."""
        kind, name = self.address.split(".", 1)
        return self.means.layout.artifact(kind, name, self.recorder.key)

    def run(self) -> Built:
        """Find it, or build it; record what came out, or what is left of it if it was stopped or failed."""
        continued = self._continued()
        begun = self.recorder.begun(continued)
        found = self._found()
        if found is not None:
            outcome = outcome_of(found)
            started = now()
            return Built(self._finish(self._with_own_checkpoints(begun), outcome, started), "found")
        artifacts.discard_incomplete(self.folder)
        self.means.emit(events.StepStarted(self.address, self.recorder.step.deed))
        # What it is made from is brought here first: where that is nowhere to be had, nothing was begun.
        task = self._task(begun, continued)
        self.folder.mkdir(parents=True)
        self.means.writer.begin(Begun(self.address, begun))
        return Built(self._build(begun, task), DONE[self.recorder.step.deed])

    def _found(self) -> Manifest | None:
        """A complete artifact of the very key: here, because a run was killed after it, or shared by somebody else."""
        if self.means.content is not None:
            self.means.content.set_aside(self.folder)
        here = artifacts.read(self.folder)
        found = self.means.shelf.find(self.recorder.key) if here is None else None
        return self.means.shelf.fetch(self.address, found, self.folder) if found is not None else here

    def _continued(self) -> Record | None:
        """The record whose checkpoint is continued from: the address's own, or one that an earlier edit left behind."""
        kept = self.planning.kept.get(self.recorder.key)
        candidates = (kept.record if kept else None, self.means.writer.state.records.get(self.address))
        return next((one for one in candidates if one and self.recorder.step.resume_from in one.checkpoints), None)

    def _with_own_checkpoints(self, begun: Record) -> Record:
        before = self.means.writer.state.records.get(self.address)
        same = before is not None and before.action_key == self.recorder.key
        return evolve(begun, checkpoints=before.checkpoints) if before is not None and same else begun

    def _build(self, begun: Record, task: Task) -> Record:
        """Build, journal the checkpoints, and turn whatever happens into a record."""
        started = now()
        reached = begun

        with self._uploads() as uploads:

            def emit(event: events.Event) -> None:
                nonlocal reached
                if isinstance(event, events.CheckpointWritten):
                    reached = evolve(reached, checkpoints=event.kept)
                    self.means.writer.begin(Checkpointed(task.address, event.kept))
                    if uploads is not None and shareable(event.kept[-1]):
                        uploads.offer(event.kept[-1])
                self.means.emit(event)

            try:
                outcome = build_in_memory(self.means, task, emit, self._log(), lambda: reached.checkpoints)
            except InterruptedStepError:
                self._save(evolve(reached, provenance=self.recorder.origin.provenance(started, None)))
                raise
            except ProblemError as error:
                self._save(self._failed(reached, error, started))
                raise
        return self._finish(reached, outcome, started)

    def _failed(self, reached: Record, error: ProblemError, started: datetime) -> Record:
        text = without_secrets("; ".join(one.detail for one in error.diagnostics))
        provenance = self.recorder.origin.provenance(started, None)
        return evolve(reached, status=Status.FAILED, error=text, provenance=provenance)

    def _finish(self, reached: Record, outcome: Outcome, started: datetime) -> Record:
        """Share the artifact, then say that it exists: whoever reads the state may rely on finding it."""
        record = self._record(reached, outcome, started)
        shared = self.means.shelf.publish(self.address, record)
        if shared is not None and shared.manifest.digests != record.files:
            record = self._record(reached, self._take_theirs(shared), started)
        self.means.writer.begin(Ended(self.address, record))
        self._save(record)
        return record

    def _record(self, reached: Record, outcome: Outcome, started: datetime) -> Record:
        manifest = artifacts.read(self.folder) if outcome.has_artifact else None
        artifact = Artifact(self.means.layout.relative(self.folder), manifest) if manifest is not None else None
        return self.recorder.finished(reached, outcome, artifact, started)

    def _take_theirs(self, shared: SharedArtifact) -> Outcome:
        """Somebody else made it under the same key and was faster: theirs is what everybody goes on from."""
        host = shared.record.provenance.host
        self.means.emit(events.Message(self.address, f"{host} was faster; taking what it made"))
        artifacts.remove(self.folder)
        manifest = self.means.shelf.fetch(self.address, shared, self.folder)
        return outcome_of(manifest)

    def _save(self, record: Record) -> None:
        self.means.writer.save(put(self.means.writer.state, self.address, record))

    @contextmanager
    def _uploads(self) -> Iterator[CheckpointUploads | None]:
        """Checkpoints leave the machine while the build goes on; what is under way in the end is waited for."""
        shared = self.means.shared
        if shared is None:
            yield None
            return

        def say(text: str) -> None:
            self.means.emit(events.Message(self.address, text))

        with CheckpointUploads(shared, self.recorder.key, self.means.layout.root, say) as uploads:
            resume = self.recorder.step.resume_from
            if resume is not None and shareable(resume):
                uploads.offer(resume)  # its upload may have been what was cut off
            try:
                yield uploads
            finally:
                if not uploads.drain(self.means.stop.seconds_left(DRAIN_SECONDS)):
                    say(f"the last checkpoint did not reach {shared.backend.where} in time; it is on this machine")

    def _log(self) -> Path:
        return self.means.layout.log(self.address, self.recorder.key[:8])

    def _task(self, begun: Record, continued: Record | None) -> Task:
        layout, desired, resume = self.means.layout, self.recorder.desired, self.recorder.step.resume_from
        kind, name = desired.address.split(".", 1)
        if resume is not None and continued is not None:
            # A run of another length has another key: its checkpoints are shared under that one.
            self.means.shelf.fetch_checkpoint(self.address, continued.action_key, resume)
        inputs = {
            field: tuple(self._input(one.source.address, one.digest or "") for one in group)
            for field, group in self.recorder.step.inputs.items()
        }
        return Task(
            address=desired.address,
            kind=desired.kind,
            settings=desired.settings,
            content=desired.content,
            inputs=inputs,
            recipe_folder=str(layout.recipe_folder),
            output=str(self.folder),
            checkpoints=str(layout.checkpoints(kind, name, self.recorder.key)),
            tune_folder=str(layout.root),
            resume_from=resume,
            earlier=begun.checkpoints,
            records=dict(self.means.writer.state.records) if self.recorder.kind.publishes else {},
            tool=self.means.writer.store.tool,
            world=world_of(desired.settings, resume, self.means.host),
        )

    def _input(self, address: str, digest: str) -> Input:
        layout, record = self.means.layout, self.means.writer.state.records[address]
        locate = self.means.kinds[record.kind].locate
        if record.artifact:
            folder = self.means.shelf.folder(address, record)
        else:
            folder = locate(record, layout.recipe_folder) if locate is not None else layout.recipe_folder
        return Input(address, digest, str(folder), record.settings, record.facts, record.inputs)
