"""Fake kinds that need no torch, and a workshop in which recipes of them are planned and applied."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from executor.applying.apply import Result, apply
from executor.applying.drift import Bytes
from executor.applying.local import this_machine
from executor.applying.means import Means
from executor.applying.probe import Surroundings, desire
from executor.applying.provenance import Origin
from executor.workers import events
from executor.workers.launch import Emit, InterruptedStepError, Stop
from executor.workers.task import Outcome, Task
from planner.effects import Effect, reference, setting
from planner.kind import Kind, Probe, Resource, Resources, Source
from planner.plan import Plan, Selection
from planner.recipe import parse
from planner.recipe_plan import make_plan, resolved
from planner.renaming import renamed
from planner.schedule import Schedule
from state import artifacts
from state.backend import Backend
from state.canonical import digest
from state.diagnostic import Diagnostic
from state.files import FileDigests
from state.folder_backend import FolderBackend
from state.journal import current_state
from state.layout import Layout
from state.lock import Lock
from state.owner import this_process
from state.record import Checkpoint, State
from state.shared_store import SharedStore
from state.store import Store
from state.writer import writing


@frozen
class Raw:
    """A file, only recorded."""

    source: str = setting(effect=Effect.METADATA, why="the bytes decide")


@frozen
class Thing:
    """Something that takes steps, writes checkpoints and may be stopped between them."""

    base: tuple[str, ...] = reference("raw", "thing", default=())
    colour: str = setting("red", effect=Effect.REBUILD, why="it looks different")
    steps: int = setting(4, effect=Effect.LENGTH, why="it takes longer")
    decay: bool = setting(default=False, effect=Effect.REBUILD, why="every step depends on it")
    note: str = setting("", effect=Effect.METADATA, why="it is a note")
    pace: int = setting(1, effect=Effect.RUNTIME, why="it is only slower")
    on_length_change: str = setting("retrain", effect=Effect.METADATA, why="it is about another length")
    lowest: int = setting(0, effect=Effect.METADATA, why="the verdict changes")


def _probe_raw(resource: Resource, surroundings: Surroundings) -> Probe:
    path = surroundings.folder / resource.specification.source
    if not path.exists():
        missing = Diagnostic("Missing file", f"{path.name} is missing", place=resource.place("source"))
        return Probe(diagnostics=(missing,), builds=False)
    content = surroundings.digests.digest(path)
    return Probe({path.name: content}, known={"": content}, builds=False)


def _inputs(resource: Resource, _: Resources) -> Mapping[str, tuple[Source, ...]]:
    return {"base": tuple(Source(one) for one in resource.specification.base)}


def _schedule(settings: Mapping[str, Any], _: object) -> Schedule:
    return Schedule("linear" if settings["decay"] else "constant", 1.0, 0, settings["steps"])


def _judge(settings: Mapping[str, Any], metrics: Mapping[str, Any], _: object) -> tuple[str, ...]:
    return ("too low",) if metrics["score"] < settings["lowest"] else ()


RAW = Kind("raw", {"": Raw}, 1, "re-read", inputs=lambda *_: {}, probe=_probe_raw)
THING = Kind(
    name="thing",
    specifications={"": Thing},
    code=1,
    verb="rebuild",
    inputs=_inputs,
    schedule=_schedule,
    judge=_judge,
    compares=True,
    build=lambda *_: None,
)
RECIPE = """\
[raw.data]
source = "data.txt"
[thing.base]
base = ["raw.data"]
[thing.top]
base = ["thing.base"]
"""
"""Data and two things that are made from it, one after the other."""
KINDS = {"raw": RAW, "thing": THING}
WHOLE = Selection()


@define
class FakeBuild:
    """Builds things in this process: the output is a text that names what it was made from, upper-cased bases only."""

    stop_after: int = 0
    """Simulates a stop after this many steps; 0 never."""
    crash: BaseException | None = None
    built: list[str] = field(factory=list)

    def __call__(self, task: Task, emit: Emit, _stop: Stop, _log: Path) -> Outcome:
        self.built.append(task.address)
        first = task.resume_from.step if task.resume_from else 0
        kept = task.earlier
        for step in range(first + 1, int(str(task.settings["steps"])) + 1):
            folder = Path(task.checkpoints) / f"checkpoint-{step}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "weights").write_text(f"{step}")
            manifest = artifacts.publish(folder, {})
            relative = folder.relative_to(task.tune_folder).as_posix()
            kept = (*kept, Checkpoint(step, relative, manifest.digest))
            emit(events.CheckpointWritten(task.address, kept))
            if step == self.stop_after:
                raise self.crash or InterruptedStepError
        bases = [Path(one.folder).joinpath("out").read_text() for one in task.inputs["base"] if _made(one.folder)]
        raw = [one.digest for one in task.inputs["base"] if not _made(one.folder)]
        text = json.dumps([task.settings["colour"], task.settings["steps"], bases, raw and "raw"])
        (task.output_folder / "out").write_text(text)
        outcome = Outcome(digest(text), metrics={"score": len(text)})
        artifacts.publish(
            task.output_folder, {"outcome": {"output_digest": outcome.output_digest, "metrics": {"score": len(text)}}}
        )
        return outcome


def _made(folder: str) -> bool:
    return (Path(folder) / "out").is_file()


@define
class Workshop:
    """A recipe's folder, and the commands on it without a command line."""

    folder: Path
    build: FakeBuild = field(factory=FakeBuild)
    events: list[events.Event] = field(factory=list)
    stop: Stop = field(factory=Stop)
    place: Backend | None = None
    """Where the state lies, if not in the folder."""
    notes: tuple[Diagnostic, ...] = ()
    """What the last plan had to say about ignored changes."""
    shared: SharedStore | None = None
    content: Bytes | None = None
    """What plans and applies read of artifacts, where they do not take their bytes on trust."""

    @property
    def layout(self) -> Layout:
        return Layout(self.folder)

    @property
    def backend(self) -> Backend:
        return self.place or FolderBackend(self.layout.root, ".tune")

    @property
    def store(self) -> Store:
        return Store(self.backend, "0")

    def write(self, recipe: str, **files: str) -> None:
        (self.folder / "recipe.toml").write_text(recipe)
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def state(self) -> State:
        return current_state(self.store)

    def desired(self, selection: Selection = WHOLE, state: State | None = None) -> tuple[Any, Any]:
        recipe = parse((self.folder / "recipe.toml").read_text(), "recipe.toml", KINDS)
        known = renamed(recipe, state or self.state()).state
        desired, _ = desire(recipe, self.folder, FileDigests(), known)
        desired, self.notes = resolved(recipe, desired, known, selection)
        return recipe, desired

    def plan(self, state: State | None = None, selection: Selection = WHOLE) -> Plan:
        recipe, desired = self.desired(selection, state)
        known = renamed(recipe, state or self.state())
        return make_plan(recipe, desired, known, selection, KINDS, this_machine(self.layout, self.shared, self.content))

    def actions(self) -> dict[str, str]:
        return {step.address: step.action.value for step in self.plan().changes}

    def apply(self, plan: Plan | None = None) -> Result:
        chosen = plan or self.plan()
        desired = {one.address: one for one in self.desired(chosen.selection)[1]}
        origin = Origin("plan", "ada", socket.gethostname(), "", git_dirty=False)
        self.build.built.clear()
        lock = Lock(self.backend, this_process("test", "plan"))
        with writing(self.store, lock, origin.author("test")) as writer:
            means = Means(
                KINDS, self.layout, writer, self.shared, origin, self.build, self.events.append, self.stop, self.content
            )
            return apply(chosen, desired, means)
