"""Plan to state: walks the steps, does what they say or less, and records each before the next."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import cast

from attrs import evolve, field

from executor.applying.building import DONE, Building, Built
from executor.applying.local import this_machine
from executor.applying.means import Means
from executor.applying.presence import absent
from executor.applying.recording import Recorder
from executor.workers import events
from executor.workers.launch import InterruptedStepError
from planner.desired import Desired, action_key
from planner.diff import WORKS, Action
from planner.plan import Plan, Planning, Step
from state.change import forget, put, rename
from state.diagnostic import Diagnostic, Place, ProblemError, problem
from state.record import Record, State, Status
from state.shared_store import SharedStore
from state.values import frozen, mutable

_DEARNESS = {action: place for place, action in enumerate(Action)}


class GateFailedError(ProblemError):
    """Something was made and recorded, and is not good enough for what depends on it."""


@frozen
class Result:
    """How an apply ended, and what became of each address."""

    state: State
    done: Mapping[str, str]
    interrupted: bool = False
    failure: ProblemError | None = None
    failed: str = ""
    """The address of the step that ended with it, if one did."""
    spared: Mapping[str, float] = field(factory=dict)
    """What was planned as work and turned out to be unnecessary, with the seconds that it took when it last ran."""


def apply(plan: Plan, desired: Mapping[str, Desired], means: Means) -> Result:
    """Work through a plan's steps while the lock is held; whatever happens, state says what exists afterwards."""
    if plan.state.digest not in (means.writer.found, means.writer.state.digest):
        detail = "It was written by another process after the plan was made."
        raise problem("State has moved", detail, "Run `tune plan` again.", Place(means.writer.store.file))
    _refuse_what_cannot_be_built(plan, desired, means)
    means.writer.name()
    applying = _Applying(desired, means)
    try:
        applying.rename(plan)
        applying.share_what_is_not()
        applying.steps(plan.steps)
    except InterruptedStepError:
        return evolve(applying.result(), interrupted=True)
    except ProblemError as error:
        return evolve(applying.result(), failure=error, failed=applying.current)
    return applying.result()


def _refuse_what_cannot_be_built(plan: Plan, desired: Mapping[str, Desired], means: Means) -> None:
    """Say what this machine lacks for the last step before hours are spent on the first."""
    lacking = [
        one
        for step in plan.steps
        if step.action in WORKS and desired[step.address].builds
        for one in means.kinds[step.kind].lacks(step.address, desired[step.address].settings)
    ]
    lacking += absent(plan, desired, means)
    if lacking:
        # Several steps may lack the same.
        raise ProblemError(tuple(dict.fromkeys(lacking)))


def unshared(state: State, shared: SharedStore | None) -> tuple[str, ...]:
    """The addresses of finished artifacts that the shared store lacks."""
    if shared is None:
        return ()
    there = shared.keys()
    finished = ((address, record) for address, record in state.records.items() if record.artifact)
    return tuple(address for address, record in finished if record.action_key not in there)


@mutable
class _Applying:
    """One apply in progress: writes the state after every step."""

    desired: Mapping[str, Desired]
    means: Means
    planning: Planning = field(init=False)
    done: dict[str, str] = field(factory=dict, init=False)
    current: str = field(default="", init=False)
    spared: dict[str, float] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        local = this_machine(self.means.layout, self.means.shared, self.means.content)
        self.planning = Planning(self.state, self.means.kinds, local)

    @property
    def state(self) -> State:
        """As last written."""
        return self.means.writer.state

    def result(self) -> Result:
        """As far as it went."""
        return Result(self.state, self.done, spared=self.spared)

    def rename(self, plan: Plan) -> None:
        """Give records the addresses that the recipe has for them, all at once: every step goes by the new ones."""
        names = {step.moved_from: step.address for step in plan.steps if step.moved_from}
        if names:
            said = ", ".join(f"{before} to {after}" for before, after in names.items())
            self.means.writer.save(rename(self.state, names), f"moved {said}")
            self.planning.moved_to(self.state)

    def share_what_is_not(self) -> None:
        """Upload what was made before there was a shared store, or while it could not be reached."""
        for address in unshared(self.state, self.means.shared):
            self.means.shelf.publish(address, self.state.records[address])

    def steps(self, steps: Sequence[Step]) -> None:
        """Do all steps, but for those that depend on what failed its gate; that is raised in the end."""
        failed: list[Diagnostic] = []
        without: set[str] = set()
        for step in steps:
            if without & {one.source.address for group in step.inputs.values() for one in group}:
                without.add(step.address)
                continue
            try:
                self.step(step)
            except GateFailedError as error:
                failed += error.diagnostics
                without.add(step.address)
        self.current = ""
        if failed:
            raise GateFailedError(failed)

    def step(self, planned: Step) -> None:
        """Do one step: what was planned, or less where that turns out to be enough."""
        if self.means.stop.requested:
            raise InterruptedStepError
        self.current = planned.address
        started = time.monotonic()
        if planned.action is Action.FORGET:
            self._save(forget(self.state, planned.address))
            self._ended(planned.address, "forgotten", "", started)
            return
        desired = self.desired[planned.address]
        actual = self.planning.step(desired)
        if _DEARNESS[actual.action] > _DEARNESS[planned.action]:
            raise _dearer(planned, actual)
        digests = {name: tuple(one.digest or "" for one in group) for name, group in actual.inputs.items()}
        key = action_key(desired, digests, actual.splices)
        before = self.state.records.get(planned.address)
        recorder = Recorder(self.means.kinds[desired.kind], desired, actual, key, self.means.origin, before)
        if actual.action in WORKS and desired.builds:
            self._work(recorder, started)
        else:
            self._record_only(planned, recorder, started)
        if planned.action in WORKS and desired.builds and self.done[planned.address] not in DONE.values():
            self.spared[planned.address] = cast("float", planned.estimate.get("seconds", 0.0))

    def _record_only(self, planned: Step, recorder: Recorder, started: float) -> None:
        """The steps that need no building: reuse, update, adopt, and whatever is only recorded."""
        address, action = planned.address, recorder.step.action
        if action is Action.REUSE:
            early = planned.action in WORKS
            result = "moved" if planned.action is Action.MOVE else "reused"
            self._ended(address, result, "its inputs came out the same as before" if early else "", started)
            return
        if not recorder.desired.builds:
            record, result = recorder.found(), "recorded"
        elif action is Action.ADOPT and recorder.desired.imported and address not in self.state.records:
            self._tell_others(recorder.desired, self._imported(recorder.desired))
            self._ended(address, "imported", "", started)
            return
        elif action is Action.ADOPT:
            record, result = self._adopted(recorder), "adopted"
        else:
            record, result = recorder.refreshed(self.state.records[address]), "updated"
        self._put(recorder.desired, record)
        _check_gate(address, record)
        self._ended(address, result, "", started)

    def _adopted(self, recorder: Recorder) -> Record:
        """What was made before, at whatever address, by this state or by whoever shares a store with it."""
        kept = self.planning.kept.get(recorder.key)
        if kept is not None and kept.record.output_digest and not self.planning.local.artifact_missing(kept.record):
            return recorder.refreshed(kept.record)
        found = self.means.shelf.find(recorder.key)
        if found is None:
            detail = f"{recorder.desired.address} was to be fetched, and is no longer in the shared store."
            raise problem("Plan is stale", detail, "Run `tune plan` again.")
        kind, name = recorder.desired.address.split(".", 1)
        folder = self.means.layout.artifact(kind, name, recorder.key)
        if self.means.content is not None:
            self.means.content.set_aside(folder)
        manifest = self.means.shelf.fetch(recorder.desired.address, found, folder)
        # Where things lie here is for us to say; checkpoints stay with whoever made them.
        here = evolve(found.record, artifact=self.means.layout.relative(folder), files=manifest.digests, checkpoints=())
        return recorder.refreshed(here)

    def _imported(self, desired: Desired) -> Record:
        """What was made elsewhere: checked and copied."""
        from executor.applying.importing import Surroundings, prepare

        surroundings = Surroundings(self.means.kinds, self.means.layout, self.means.origin)
        source = self.means.layout.recipe_folder / desired.imported
        self.means.emit(events.Message(desired.address, f"copying {desired.imported}"))
        return prepare(source, desired.address, self.desired, self.state, surroundings).carry_out(self.means.writer)

    def _work(self, recorder: Recorder, started: float) -> None:
        address = recorder.desired.address
        built: Built = Building(recorder, self.means, self.planning).run()
        self._tell_others(recorder.desired, built.record)
        _check_gate(address, built.record)
        same = bool(recorder.step.reasons) and self._same_as_before(address, built.record)
        self._ended(address, built.result, "the output is the same as before" if same else "", started)

    def _same_as_before(self, address: str, record: Record) -> bool:
        """Whether a rebuild gave what was there already, so that nothing after it has to be built."""
        earlier = self.state.superseded.values()
        return any(one.address == address and one.record.output_digest == record.output_digest for one in earlier)

    def _put(self, desired: Desired, record: Record) -> None:
        self._save(put(self.state, desired.address, record))
        self._tell_others(desired, record)

    def _tell_others(self, desired: Desired, record: Record) -> None:
        self.planning.moved_to(self.state)
        self.planning.made(desired, record)

    def _save(self, state: State) -> None:
        self.means.writer.save(state)
        self.planning.moved_to(self.state)

    def _ended(self, address: str, result: str, detail: str, started: float) -> None:
        self.done[address] = result
        record = self.state.records.get(address)
        metrics = record.metrics if record is not None else {}
        self.means.emit(events.StepEnded(address, result, detail, round(time.monotonic() - started, 3), metrics))


def _check_gate(address: str, record: Record) -> None:
    if record.status is Status.FAILED:
        hint = f"The metrics are recorded: `tune state show {address}`. Nothing that depends on them was made."
        raise GateFailedError(Diagnostic("Gate failed", f"{address}: {record.error}.", hint))


def _dearer(planned: Step, actual: Step) -> ProblemError:
    detail = f"{planned.address} was planned as `{planned.action}` but would now be `{actual.action}`."
    return ProblemError(Diagnostic("Plan is stale", detail, "Run `tune plan` again to see why."))
