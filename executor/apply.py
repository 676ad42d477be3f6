"""Plan to state: walks the steps, does what they say or less, and records each before the next."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from attrs import define, evolve, field, frozen

from executor import events
from executor.launch import Emit, InterruptedStepError, Stop
from executor.local import this_machine
from executor.provenance import Origin, now, timestamp
from executor.recording import Recorder
from executor.task import Input, Outcome, Task, outcome_from
from planner.desired import Desired, action_key
from planner.diff import WORKS, Action
from planner.kind import Kinds
from planner.plan import Plan, Planning, Step
from state import artifacts
from state.change import forget, put, with_history
from state.diagnostic import Diagnostic, Place, ProblemError, problem
from state.journal import Begun, Checkpointed, Ended, Journal, fold
from state.lock import Lock
from state.record import Record, State, Status
from state.store import FILE, Store

Build: TypeAlias = Callable[[Task, Emit, Stop, Path], Outcome]
"""Builds a task: executor.launch.run_in_worker, or in this process for kinds that need no other."""

_DEARNESS = {action: place for place, action in enumerate(Action)}
_DONE = {Action.BUILD: "built", Action.REBUILD: "rebuilt", Action.RESUME: "resumed", Action.EXTEND: "extended"}


@frozen
class Result:
    """How an apply ended, and what became of each address."""

    state: State
    done: Mapping[str, str]
    interrupted: bool = False
    failure: ProblemError | None = None


@frozen
class Means:
    """What an apply works with."""

    kinds: Kinds
    store: Store
    lock: Lock
    origin: Origin
    build: Build
    emit: Emit
    stop: Stop


def apply(plan: Plan, desired: Mapping[str, Desired], means: Means) -> Result:
    """Work through a plan's steps while the lock is held; whatever happens, state says what exists afterwards."""
    loaded = means.store.load()
    if loaded.digest != plan.state.digest:
        detail = f"Serial {loaded.serial} was written after the plan was made from serial {plan.state.serial}."
        raise problem("State has moved", detail, "Run `tune plan` again.", Place(FILE))
    applying = _Applying(plan, desired, means, loaded)
    applying.settle_journal()
    failure: ProblemError | None = None
    try:
        for step in plan.steps:
            applying.step(step)
    except InterruptedStepError:
        return Result(applying.state, applying.done, interrupted=True)
    except ProblemError as error:
        failure = error
    applying.journal.clear()
    return Result(applying.state, applying.done, failure=failure)


@define
class _Applying:
    """One apply in progress: owns the journal, writes the state after every step."""

    plan: Plan
    desired: Mapping[str, Desired]
    means: Means
    state: State
    journal: Journal = field(init=False)
    planning: Planning = field(init=False)
    done: dict[str, str] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.journal = Journal(self.means.store.layout)
        self.planning = Planning(self.state, self.means.kinds, this_machine(self.means.store.layout))

    def settle_journal(self) -> None:
        """Write down what a killed run left in the journal, so that nothing depends on the journal any more."""
        entries = self.journal.read()
        folded = fold(self.state, entries)
        if folded != self.state:
            self._save(folded, tuple(dict.fromkeys(entry.address for entry in entries)))
        self.journal.clear()

    def step(self, planned: Step) -> None:
        """Do one step: what was planned, or less where that turns out to be enough."""
        if self.means.stop.requested:
            raise InterruptedStepError
        started = time.monotonic()
        if planned.action is Action.FORGET:
            self._save(forget(self.state, planned.address), (planned.address,))
            self._ended(planned.address, "forgotten", "", started)
            return
        desired = self.desired[planned.address]
        actual = self.planning.step(desired)
        if _DEARNESS[actual.action] > _DEARNESS[planned.action]:
            raise _dearer(planned, actual)
        digests = {name: tuple(one.digest or "" for one in group) for name, group in actual.inputs.items()}
        key = action_key(desired, digests)
        recorder = Recorder(self.means.kinds[desired.kind], desired, actual, key, self.means.origin)
        if actual.action in WORKS and desired.builds:
            self._work(recorder, started)
        else:
            self._record_only(planned, recorder, started)

    def _record_only(self, planned: Step, recorder: Recorder, started: float) -> None:
        """The steps that need no building: reuse, update, adopt, and whatever is only recorded."""
        address, action = planned.address, recorder.step.action
        if action is Action.REUSE:
            early = planned.action in WORKS
            self._ended(address, "reused", "its inputs came out the same as before" if early else "", started)
            return
        if not recorder.desired.builds:
            record, result = recorder.found(), "recorded"
        elif action is Action.ADOPT:
            record, result = recorder.refreshed(self.planning.kept[recorder.key].record), "adopted"
        else:
            record, result = recorder.refreshed(self.state.records[address]), "updated"
        self._put(recorder.desired, record)
        _check_gate(address, record)
        self._ended(address, result, "", started)

    def _work(self, recorder: Recorder, started: float) -> None:
        address = recorder.desired.address
        kind, name = address.split(".", 1)
        before = self.state.records.get(address)
        begun = recorder.begun(self._continued(recorder))
        folder = self.means.store.layout.artifact(kind, name, recorder.key)
        complete = artifacts.read(folder)
        if complete is not None:
            same = before is not None and before.action_key == recorder.key
            begun = evolve(begun, checkpoints=before.checkpoints) if before is not None and same else begun
            outcome = outcome_from(complete.notes["outcome"])  # type: ignore[arg-type]  # written by executor.worker
            record = recorder.finished(begun, outcome, self._relative(folder), now())
            self._close(recorder, record, "found", started)
            return
        artifacts.discard_incomplete(folder)
        folder.mkdir(parents=True)
        self.means.emit(events.StepStarted(address, recorder.step.action.value))
        self.journal.append(Begun(address, begun))
        record = self._build(self._task(recorder, begun, folder), recorder, begun)
        self._close(recorder, record, _DONE[recorder.step.action], started)

    def _continued(self, recorder: Recorder) -> Record | None:
        """The record whose checkpoint is continued from: the address's own, or one that an earlier edit left behind."""
        kept = self.planning.kept.get(recorder.key)
        candidates = (kept.record if kept else None, self.state.records.get(recorder.desired.address))
        return next((one for one in candidates if one and recorder.step.resume_from in one.checkpoints), None)

    def _build(self, task: Task, recorder: Recorder, begun: Record) -> Record:
        """Build, journal the checkpoints, and turn whatever happens into a record."""
        started = now()
        reached = begun

        def emit(event: events.Event) -> None:
            nonlocal reached
            if isinstance(event, events.CheckpointWritten):
                reached = evolve(reached, checkpoints=event.kept)
                self.journal.append(Checkpointed(task.address, event.kept))
            self.means.emit(event)

        log = self.means.store.layout.log(task.address, begun.action_key[:8])
        try:
            outcome = self.means.build(task, emit, self.means.stop, log)
        except InterruptedStepError:
            stopped = evolve(reached, provenance=self.means.origin.provenance(started, None))
            self._put(recorder.desired, stopped)
            self.journal.clear()
            raise
        except ProblemError as error:
            provenance = self.means.origin.provenance(started, None)
            text = "; ".join(one.detail for one in error.diagnostics)
            self._put(recorder.desired, evolve(reached, status=Status.FAILED, error=text, provenance=provenance))
            raise
        return recorder.finished(reached, outcome, self._relative(task.output_folder), started)

    def _close(self, recorder: Recorder, record: Record, result: str, started: float) -> None:
        address = recorder.desired.address
        self.journal.append(Ended(address, record))
        self._put(recorder.desired, record)
        _check_gate(address, record)
        same = bool(recorder.step.reasons) and self._same_as_before(address, record)
        self._ended(address, result, "the output is the same as before" if same else "", started)

    def _same_as_before(self, address: str, record: Record) -> bool:
        """Whether a rebuild gave what was there already, so that nothing after it has to be built."""
        earlier = self.state.superseded.values()
        return any(one.address == address and one.record.output_digest == record.output_digest for one in earlier)

    def _task(self, recorder: Recorder, begun: Record, folder: Path) -> Task:
        layout, desired = self.means.store.layout, recorder.desired
        kind, name = desired.address.split(".", 1)
        inputs = {
            field: tuple(self._input(one.source.address, one.digest or "") for one in group)
            for field, group in recorder.step.inputs.items()
        }
        return Task(
            address=desired.address,
            kind=desired.kind,
            settings=desired.settings,
            content=desired.content,
            inputs=inputs,
            recipe_folder=str(layout.recipe_folder),
            output=str(folder),
            checkpoints=str(layout.checkpoints(kind, name, recorder.key)),
            tune_folder=str(layout.root),
            resume_from=recorder.step.resume_from,
            earlier=begun.checkpoints,
        )

    def _input(self, address: str, digest: str) -> Input:
        layout, record = self.means.store.layout, self.state.records[address]
        locate = self.means.kinds[record.kind].locate
        if record.artifact:
            folder = layout.root / record.artifact
            if artifacts.read(folder) is None:
                detail = f"{address} was made on {record.provenance.host}; its artifact is not on this machine."
                raise problem("Artifact not here", detail, f"Copy `.tune/{record.artifact}` here, or apply there.")
        else:
            folder = locate(record, layout.recipe_folder) if locate is not None else layout.recipe_folder
        return Input(address, digest, str(folder), record.settings, record.facts)

    def _put(self, desired: Desired, record: Record) -> None:
        self._save(put(self.state, desired.address, record), (desired.address,))
        self.planning.made(desired, record)

    def _save(self, state: State, changed: tuple[str, ...]) -> None:
        self.means.lock.check()
        origin = self.means.origin
        named = evolve(state, lineage=state.lineage or uuid.uuid4().hex)
        self.state = self.means.store.save(with_history(named, timestamp(now()), origin.who, origin.plan, changed))
        self.planning.moved_to(self.state)

    def _relative(self, folder: Path) -> str:
        return self.means.store.layout.relative(folder)

    def _ended(self, address: str, result: str, detail: str, started: float) -> None:
        self.done[address] = result
        record = self.state.records.get(address)
        metrics = record.metrics if record is not None else {}
        self.means.emit(events.StepEnded(address, result, detail, round(time.monotonic() - started, 3), metrics))


def _check_gate(address: str, record: Record) -> None:
    if record.status is Status.FAILED:
        hint = f"The metrics are recorded: `tune state show {address}`. Nothing that depends on them was made."
        raise problem("Gate failed", f"{address}: {record.error}.", hint)


def _dearer(planned: Step, actual: Step) -> ProblemError:
    detail = f"{planned.address} was planned as `{planned.action}` but would now be `{actual.action}`."
    return ProblemError(Diagnostic("Plan is stale", detail, "Run `tune plan` again to see why."))
