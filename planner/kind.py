"""The contract of a kind: its recipe fields, what it reads, what it depends on, and how it is built."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import field

from planner.lifecycle_table import Lifecycle
from planner.matrix import member_name
from state.canonical import Plain
from state.diagnostic import NOWHERE, Diagnostic, Place
from state.record import Measured, Record
from state.values import frozen

if TYPE_CHECKING:
    from planner.resume import Layout
    from planner.schedule import Schedule


@frozen
class Source:
    """One input of a resource: an address, and which part of what it produces ("" for the whole)."""

    address: str
    part: str = ""


@frozen
class Resource:
    """A named block of the recipe, or one that another resource derives."""

    address: str
    kind: Kind
    specification: Any
    """An instance of one of the kind's specification classes."""
    places: Mapping[str, Place] = field(factory=dict)
    """Where each dotted field stands in the recipe; "" is the block itself."""
    derived_from: str = ""
    lifecycle: Lifecycle = field(factory=Lifecycle)
    coordinates: tuple[tuple[str, str], ...] = ()
    """For a member of a matrix: the fields that are varied, each with its value as the address says it."""

    @property
    def name(self) -> str:
        """The address without its kind."""
        return self.address.partition(".")[2]

    def name_by(self, fields: Collection[str]) -> str:
        """The name without what it says of other fields: one for all members of a matrix that agree in these."""
        decisive = [(path, label) for path, label in self.coordinates if path.partition(".")[0] in fields]
        return member_name(self.name.partition("[")[0], decisive)

    def place(self, path: str = "") -> Place:
        """Where a field was written, or the nearest table around it."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path, NOWHERE)


Resources: TypeAlias = Mapping[str, Resource]


@frozen
class Probe:
    """What was found outside the recipe for one resource."""

    content: Mapping[str, str] = field(factory=dict)
    """Digests of what was read, by name; part of the identity."""
    settings: Mapping[str, Any] = field(factory=dict)
    """Fields that had to be resolved, as the specification class holds them, replacing those of the recipe."""
    known: Mapping[str, str] = field(factory=dict)
    """Output digests that are certain before anything is built, by part."""
    facts: Mapping[str, Plain] = field(factory=dict)
    notes: Mapping[str, Plain] = field(factory=dict)
    """What a plan tells beside its reasons, and nobody records."""
    diagnostics: tuple[Diagnostic, ...] = ()
    builds: bool = True
    """False where there is nothing to build and recording what was found is all."""
    assumed: bool = False
    """Whether it could not be read here, and is said to be as state has it."""


def _nothing_outside(*_: object) -> Probe:
    return Probe()


def _nothing_derived(*_: object) -> tuple[Resource, ...]:
    return ()


def _no_objection(*_: object) -> tuple[Any, ...]:
    return ()


def _as_torch_writes(_: Mapping[str, Plain]) -> Layout:
    from planner.resume import Layout

    return Layout()


def _one_process(_: Mapping[str, Plain]) -> int:
    return 1


def _nothing_to_build(*_: object) -> Any:  # noqa: ANN401  never returns
    message = "a kind without a build is only recorded"
    raise TypeError(message)


@frozen
class Kind:
    """A kind of resource. One module in `executor/kinds/` defines one, as `KIND`."""

    name: str
    specifications: Mapping[str, type]
    """The recipe's fields as attrs classes, by the value of `variant`; {"": cls} where there is only one."""
    code: int
    """Version of the code that builds it; part of the identity, raised when the same inputs give another output."""
    verb: str
    """What a rebuild is called in messages: retrain, re-merge."""
    inputs: Callable[[Resource, Resources], Mapping[str, tuple[Source, ...]]]
    variant: str = ""
    """The field whose value picks the specification class."""
    gone: Mapping[str, str] = field(factory=dict)
    """Values of `variant` that people know from elsewhere and that cannot be had any more, each with what to do."""
    elsewhere: Callable[[], Mapping[str, str]] = dict
    """What to write instead of names of fields that people know from elsewhere; asked where a field is unknown."""
    derive: Callable[[Resource, Resources], tuple[Resource, ...]] = _nothing_derived
    """The resources that this one brings along, such as the tokens of a training run."""
    check: Callable[[Resource, Resources], tuple[Diagnostic, ...]] = _no_objection
    """What is wrong with the fields together, without reading anything else."""
    probe: Callable[..., Probe] = _nothing_outside
    """Reads what lies outside the recipe: (resource, surroundings of type executor.applying.probe.Surroundings)."""
    lacks: Callable[[str, Mapping[str, Plain]], tuple[Diagnostic, ...]] = _no_objection
    """What a machine lacks that is to build it: (address, settings); asked before the first step of an apply."""
    schedule: Callable[[Mapping[str, Plain], Mapping[str, tuple[Record, ...]]], Schedule] | None = None
    """The learning rates that settings and input records imply; None for kinds that cannot be resumed."""
    layout: Callable[[Mapping[str, Plain]], Layout] = _as_torch_writes
    """How a run with these settings reads and writes its checkpoints."""
    processes: Callable[[Mapping[str, Plain]], int] = _one_process
    """How many run at once on a host with these settings, as far as these say it."""
    judge: Callable[[Mapping[str, Plain], Mapping[str, Plain], Sequence[Measured]], tuple[str, ...]] = _no_objection
    """(settings, metrics, those of earlier results) -> why it is not good enough, in sentences; empty if it is."""
    compares: bool = False
    """Whether metrics of earlier results stay with the record, for people and for `judge` to compare with."""
    locate: Callable[[Record, Path], Path] | None = None
    """Where a record without an artifact of ours lies: (record, recipe folder)."""
    publishes: bool = False
    """Whether the result lies outside of `.tune/`, where it may have been replaced since: then it is never adopted."""
    libraries: tuple[str, ...] = ()
    """The modules that its build needs in any case and that take long to import."""
    build: Callable[..., Any] = _nothing_to_build
    """Makes it: (Task, Reporter) -> Outcome, of executor.workers.task and executor.workers.worker_reports."""

    @property
    def is_written(self) -> bool:
        """Whether recipes have tables of it; asked without loading the fields of all variants."""
        return bool(self.variant) or "" in self.specifications


Kinds: TypeAlias = Mapping[str, Kind]
