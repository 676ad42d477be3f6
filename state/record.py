"""What state holds: one record for each resource, who wrote it and when, and the chain of all that was written."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import field

from state.canonical import Plain
from state.entries import Entries
from state.plain import later
from state.values import frozen


class Status(StrEnum):
    """How the last attempt to make a resource ended."""

    READY = "ready"
    """Made, complete, usable."""
    INTERRUPTED = "interrupted"
    """Stopped or killed on the way; its complete checkpoints can be continued from."""
    FAILED = "failed"
    """Ended with an error, or made but not good enough (a gate)."""


@frozen
class InputRecord:
    """One thing that a resource was made from: named as it was called then, identified by its digest."""

    address: str
    part: str
    """Which of the input's outputs was used: "" for the whole, or for instance `tokenizer`."""
    digest: str
    """"" where it was not known when the record was made, for an artifact that was imported."""
    verified: bool = True
    """False if a person said so (an artifact that was imported) and no run of ours has proved it."""


@frozen
class Checkpoint:
    """A complete checkpoint: the optimizer step after which it was written, its folder below `.tune/`, its digest."""

    step: int
    folder: str
    digest: str
    format: str = later("torch")
    """How the training state is laid out, which strategies disagree about: "torch", "fsdp-sharded", "zero-3", ..."""
    world_size: int = later(1)
    """The processes that wrote it."""


@frozen
class Splice:
    """Where a run was continued although its learning rates had been those of another one, unlike any from scratch."""

    step: int
    """Of the checkpoint that was continued from."""
    checkpoint: str
    """Its digest."""
    differs: int
    """The first optimizer step, counted from 1, whose learning rate was not that of a run from scratch."""
    before: float
    """The learning rate that this step had."""
    after: float
    """The one that it would have had."""


@frozen
class Provenance:
    """Who made something, when, where and with what; for audit and estimates, never for identity."""

    started: str = ""
    """UTC, ISO 8601."""
    finished: str = ""
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    host: str = ""
    user: str = ""
    git_commit: str = ""
    git_dirty: bool = False
    recipe: str = ""
    """File name of the recipe."""
    plan: str = ""
    """Digest of the plan that ordered the work."""
    hardware: str = ""
    versions: Mapping[str, str] = field(factory=dict)


@frozen
class Measured:
    """Metrics that a resource had before: when, of what, and whether they passed."""

    finished: str
    output_digest: str
    status: Status
    metrics: Mapping[str, Plain]


@frozen
class Record:
    """One resource as it exists: from what it was made, what came out, and how to find it."""

    kind: str
    settings: Mapping[str, Plain]
    """Resolved values, defaults written out: plans compare values, so that they can say what changed."""
    content: Mapping[str, str]
    """Digests of what was read from outside the recipe, by name: data files, templates, user code."""
    inputs: Mapping[str, tuple[InputRecord, ...]]
    code: int
    """Version of the code that made it."""
    action_key: str
    status: Status
    output_digest: str = ""
    parts: Mapping[str, str] = field(factory=dict)
    """Digests of parts that others may depend on alone, such as a model's tokenizer."""
    artifact: str = ""
    """Folder below `.tune/`, or "" where nothing was written."""
    files: Mapping[str, str] = field(factory=dict)
    """The xxh3-128 of every file of the artifact by its path, so that any of them leads back to this record."""
    checkpoints: tuple[Checkpoint, ...] = ()
    metrics: Mapping[str, Plain] = field(factory=dict)
    facts: Mapping[str, Plain] = field(factory=dict)
    """What was found out while making it: rows, parameters, resolved module names."""
    provenance: Provenance = field(factory=Provenance)
    error: str = ""
    generation: int = later(0)
    """How often it was asked to be made anew though nothing had changed; part of what it is, if not 0."""
    protected: bool = later(default=False)
    """Whether a plan that would rebuild or forget it is an error, whatever the recipe still says of it."""
    splices: tuple[Splice, ...] = later(())
    """In what it is no run from scratch, as a person accepted; part of what it is, if there are any."""
    earlier: tuple[Measured, ...] = later(())
    """What was measured before, the oldest first, for kinds whose metrics are compared with earlier ones."""

    @property
    def tags(self) -> tuple[str, ...]:
        """What it is to be found by, in the words of its recipe; a kind may have none, or mean something else."""
        chosen = self.settings.get("tags")
        return tuple(one for one in chosen if isinstance(one, str)) if isinstance(chosen, list | tuple) else ()


@frozen
class Superseded:
    """What was made under another action key and still lies on disk, so that undoing an edit costs nothing."""

    address: str
    record: Record


def _records(value: Mapping[str, Record]) -> Entries[Record]:
    return Entries.of(value, Record)


def _superseded(value: Mapping[str, Superseded]) -> Entries[Superseded]:
    return Entries.of(value, Superseded)


@frozen
class State:
    """All that exists. `lineage` names this state for ever; `serial` grows with every write."""

    lineage: str
    serial: int
    records: Entries[Record] = field(factory=dict, converter=_records)
    """By address."""
    superseded: Entries[Superseded] = field(factory=dict, converter=_superseded)
    """By action key."""
    history: str = ""
    """Digest of the newest history entry, the one of this serial."""
    digest: str = ""
    """Of the file that it was read from; "" for a state that was never written."""
    parent_digest: str = ""


EMPTY = State(lineage="", serial=0)
