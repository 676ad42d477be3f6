"""What an audit document is about: one record, and everything that it was made from, as far as state knows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import evolve

from state.diagnostic import problem
from state.record import InputRecord, Record, State, Status
from state.values import frozen
from state.wording import suggestion

DATA = frozenset({"dataset", "tokens", "eval"})
"""Kinds of which the result is data; that of every other kind is a model."""

NO_RECORD = Record(kind="", settings={}, content={}, inputs={}, code=0, action_key="", status=Status.READY)
"""Of a part, and of what state no longer holds: it says nothing, so that documents leave everything out."""


@frozen
class AuditedFile:
    """One file of an artifact, as it lies on disk."""

    path: str
    """Below the artifact's folder."""
    size: int
    sha256: str
    xxh3: str
    """The xxh3-128 of its bytes, as state has it."""


@frozen
class Material:
    """The subject of a document, or something that it was made from."""

    address: str
    digest: str
    """Its output digest, or that of the part; "" where nobody recorded any."""
    record: Record
    part: str = ""
    """Such as `tokenizer`, where something was made from this part alone."""
    verified: bool = True
    """False where a person named it and no run has proved it."""

    @property
    def kind(self) -> str:
        """Its kind, with which every address begins."""
        return self.address.partition(".")[0]

    @property
    def is_model(self) -> bool:
        """Whether it is weights, and not data."""
        return self.kind not in DATA and not self.part

    @property
    def is_adapter(self) -> bool:
        """Whether it is an adapter, which is no model without what it was trained on."""
        return self.kind == "train" and bool(self.record.settings.get("adapter"))

    @property
    def name(self) -> str:
        """How documents call it."""
        return f"{self.address}#{self.part}" if self.part else self.address

    @property
    def reference(self) -> str:
        """Tells it apart from everything else in a document, also from itself before an edit."""
        return f"{self.name}@{self.digest}" if self.digest else self.name


def subject(address: str, state: State) -> Material:
    """The finished resource at an address; a problem if there is none."""
    record = state.records.get(address)
    if record is None:
        raise problem("Unknown address", f"The state has no `{address}`.", suggestion(address, list(state.records)))
    if not record.output_digest:
        detail = f"{address} is {record.status.value}: there is no result yet that a document could be about."
        raise problem("Nothing to audit", detail, "Finish it with `tune apply`.")
    return Material(address, record.output_digest, record)


def direct_materials(material: Material, state: State) -> tuple[Material, ...]:
    """What a record names as its inputs."""
    return each_once(_material(one, state) for _, group in sorted(material.record.inputs.items()) for one in group)


def all_materials(material: Material, state: State) -> tuple[Material, ...]:
    """Everything that something was made from, what is nearest first."""
    found: tuple[Material, ...] = ()
    level: tuple[Material, ...] = (material,)
    while level:
        before = len(found)
        found = each_once((*found, *(below for above in level for below in direct_materials(above, state))))
        level = found[before:]
    return found


def each_once(materials: Iterable[Material]) -> tuple[Material, ...]:
    """Materials without repetition; verified only what is so wherever it occurs."""
    found: dict[str, Material] = {}
    for one in materials:
        before = found.get(one.reference, one)
        found[one.reference] = evolve(before, verified=before.verified and one.verified)
    return tuple(found.values())


def evaluations(material: Material, state: State) -> tuple[Material, ...]:
    """The finished evaluations of exactly these weights, an adapter's on exactly what it was trained on."""
    below = material.record.inputs.get("model", ()) if material.is_adapter else ()
    measured = [*(one.digest for one in below), material.digest]
    named = ((name, state.records[name]) for name in sorted(state.records) if name.startswith("eval."))
    return tuple(
        Material(name, record.output_digest, record)
        for name, record in named
        if record.output_digest and [one.digest for one in record.inputs.get("model", ())] == measured
    )


def measured_on(evaluation: Material, state: State) -> tuple[Material, ...]:
    """The datasets that an evaluation took its rows from."""
    tokens = (one for one in direct_materials(evaluation, state) if one.kind == "tokens")
    return each_once(below for one in tokens for below in direct_materials(one, state) if below.kind == "dataset")


def _material(one: InputRecord, state: State) -> Material:
    # A part is never taken for the whole: other weights may have come with the same tokenizer since.
    for address, record in _candidates(one.address, state) if one.digest and not one.part else ():
        if one.digest == record.output_digest:
            return Material(address, one.digest, record, verified=one.verified)
    return Material(one.address, one.digest, NO_RECORD, one.part, one.verified)


def _candidates(address: str, state: State) -> Iterator[tuple[str, Record]]:
    """Records that an input may mean: the one of its name, those before it, and after a renaming any."""
    if address in state.records:
        yield address, state.records[address]
    superseded = (state.superseded[key] for key in sorted(state.superseded))
    yield from ((one.address, one.record) for one in superseded if one.address == address)
    if address not in state.records:
        yield from ((name, state.records[name]) for name in sorted(state.records))
