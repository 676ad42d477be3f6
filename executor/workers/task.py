"""What a build is given and what it gives back; both cross a process boundary as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field

from executor.workers.world import World
from state.artifacts import Manifest
from state.canonical import Plain
from state.diagnostic import problem
from state.plain import from_plain, record_to_plain
from state.record import Checkpoint, InputRecord, Record
from state.values import frozen


@frozen
class Input:
    """One thing to build from: where it lies and what is recorded of it."""

    address: str
    digest: str
    folder: str
    """Absolute path of the artifact, or of the recipe's folder for what has none."""
    settings: Mapping[str, Plain]
    facts: Mapping[str, Plain]
    inputs: Mapping[str, tuple[InputRecord, ...]] = field(factory=dict)
    """What it was itself made from."""


@frozen
class Task:
    """One step's work, complete: a worker needs nothing but this."""

    address: str
    kind: str
    settings: Mapping[str, Plain]
    content: Mapping[str, str]
    inputs: Mapping[str, tuple[Input, ...]]
    recipe_folder: str
    output: str
    """Absolute path of the folder to fill; the worker publishes it."""
    checkpoints: str
    """Absolute path of the folder for checkpoints."""
    tune_folder: str
    """Absolute path of `.tune/`, below which checkpoints are named."""
    resume_from: Checkpoint | None = None
    earlier: tuple[Checkpoint, ...] = ()
    """Checkpoints of the run that is continued, up to the one that it is continued from."""
    world: World = World()
    """The processes that build it together."""
    records: Mapping[str, Record] = field(factory=dict)
    """What state says of everything that is finished, for kinds that publish and write papers of it."""
    tool: str = ""
    """The version of tune, which papers name."""

    def one(self, name: str) -> Input:
        """The only input of a field."""
        return self.inputs[name][0]

    @property
    def output_folder(self) -> Path:
        """The folder to fill."""
        return Path(self.output)


@frozen
class Outcome:
    """What a build produced."""

    output_digest: str
    parts: Mapping[str, str] = field(factory=dict)
    metrics: Mapping[str, Plain] = field(factory=dict)
    facts: Mapping[str, Plain] = field(factory=dict)
    versions: Mapping[str, str] = field(factory=dict)
    hardware: str = ""
    gpus: int = 0
    has_artifact: bool = True


def to_plain(value: Any) -> dict[str, Plain]:  # noqa: ANN401  any attrs instance of this module
    """A task or an outcome as plain values."""
    return record_to_plain(value)


def task_from(path: Path) -> Task:
    """The task in a file."""
    return task_from_plain(json.loads(path.read_bytes()))


def task_from_plain(plain: Mapping[str, Plain]) -> Task:
    """The task in plain values."""
    return from_plain(plain, Task)


def outcome_from(plain: Mapping[str, Plain]) -> Outcome:
    """The outcome in plain values."""
    return from_plain(plain, Outcome)


def outcome_of(manifest: Manifest) -> Outcome:
    """The outcome that was published with an artifact, by executor.workers.worker or by an import."""
    return outcome_from(manifest.notes["outcome"])  # type: ignore[arg-type]  # written as a table by both


def data_moved(address: str) -> Exception:
    """The problem of an input that is no longer what the plan saw."""
    detail = f"{address} changed while it was being applied."
    return problem("Input moved", detail, "Run `tune plan` again.")
