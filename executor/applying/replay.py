"""A finished step done once more, from what is recorded of it, in a folder that is thrown away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import field

from executor.applying.means import Build
from executor.applying.replay_differences import differences
from executor.kinds.model import template_text
from executor.models import model_files
from executor.models.trust import TRUST
from executor.tokens.tokenizer_files import tokenizer_digest
from executor.tokens.vocabulary import changed_identity
from executor.workers.launch import Emit, Stop
from executor.workers.task import Input, Outcome, Task
from executor.workers.world import Host, World, world_of
from planner.kind import Kind, Kinds
from planner.structure import with_defaults
from state import artifacts
from state.canonical import Plain, digest
from state.diagnostic import ProblemError, problem
from state.files import FileDigests
from state.layout import Layout
from state.record import InputRecord, Record, State
from state.values import frozen

REPLAYED = ("model", "tokens", "train", "merge", "eval")
"""Kinds whose result follows from their settings and inputs alone."""


@frozen
class Replay:
    """What came out the second time."""

    address: str
    recorded: str
    """The output digest in the state."""
    found: str
    deterministic: bool
    """Whether the recorded run used deterministic algorithms only."""
    differences: tuple[str, ...] = ()
    circumstances: tuple[str, ...] = ()
    """What else was not as it had been: versions of libraries, the machine."""

    @property
    def is_same(self) -> bool:
        """Whether it is what was recorded."""
        return self.recorded == self.found


@frozen
class Replaying:
    """What a step is done again with; neither state nor artifacts are touched."""

    state: State
    kinds: Kinds
    layout: Layout
    build: Build
    emit: Emit
    stop: Stop
    digests: FileDigests = field(factory=FileDigests)

    def run(self, address: str, scratch: Path) -> Replay:
        """Do a step again in an empty folder; raises ProblemError if that cannot be done, or fails."""
        record = self._record(address)
        task = self._task(address, record, scratch)
        if lacking := self.kinds[record.kind].lacks(address, task.settings):
            raise ProblemError(lacking)
        task.output_folder.mkdir()
        outcome = self.build(task, self.emit, self.stop, self.layout.log(address, "replay"))
        found = () if outcome.output_digest == record.output_digest else self._differences(record, task)
        deterministic = bool(record.facts.get("deterministic"))
        told = tuple(_circumstances(record, outcome))
        return Replay(address, record.output_digest, outcome.output_digest, deterministic, tuple(found), told)

    def _record(self, address: str) -> Record:
        record = self.state.records.get(address)
        if record is None or not record.output_digest:
            raise problem(
                "Unknown address", f"The state knows no finished `{address}`.", "`tune state list` shows all."
            )
        if record.kind not in REPLAYED or not record.artifact:
            *others, last = REPLAYED
            detail = f"{address} cannot be done again: only what {', '.join(others)} and {last} make can."
            raise problem("Not replayable", detail)
        if any(not one.verified for group in record.inputs.values() for one in group):
            raise problem("Not replayable", f"{address} was made elsewhere, from what nobody has verified.")
        return record

    def _task(self, address: str, record: Record, scratch: Path) -> Task:
        inputs = {name: tuple(self._input(one) for one in group) for name, group in record.inputs.items()}
        used = {name: record.facts[name] for name in ("micro_batch_size",) if name in record.facts}
        settings = {**_complete(self.kinds[record.kind], record.settings), **used}
        return Task(
            address=address,
            kind=record.kind,
            settings=settings,
            content=record.content,
            inputs=inputs,
            recipe_folder=str(self.layout.recipe_folder),
            output=str(scratch / "made"),
            checkpoints=str(scratch / "checkpoints"),
            tune_folder=str(scratch),
            world=_world(settings, record.facts),
        )

    def _input(self, one: InputRecord) -> Input:
        """What a step was made from, as it was then: it must still be here and be the same."""
        record = self._made(one)
        if record is None:
            detail = f"{one.address} has been made anew since, and what it was then is recorded nowhere."
            raise problem("Not replayable", detail)
        locate = self.kinds[record.kind].locate
        if record.artifact:
            folder = self.layout.root / record.artifact
            if artifacts.read(folder) is None:
                hint = f"`tune output {one.address} --fetch` brings it here from a shared store."
                raise problem("Artifact not here", f"The artifact of {one.address} is not on this machine.", hint)
        else:
            folder = self.layout.recipe_folder if locate is None else locate(record, self.layout.recipe_folder)
        if record.kind == "model" and self._is_moved(record, one.part, one.digest, folder):
            what = f"The {one.part.replace('_', ' ') or 'weights'} of {one.address}"
            raise problem("Input moved", f"{what} changed after the step was made.", "Restore it to replay the step.")
        return Input(one.address, one.digest, str(folder), record.settings, record.facts)

    def _made(self, one: InputRecord) -> Record | None:
        """The record of an input, by its digest: under whatever address it is kept."""
        kept = (*self.state.records.values(), *(each.record for each in self.state.superseded.values()))
        return next((each for each in kept if _digest(each, one.part) == one.digest), None)

    def _is_moved(self, record: Record, part: str, recorded: str, folder: Path) -> bool:
        """Whether files that the recipe names, outside of `.tune/`, are no longer what they were."""
        from_hub, own = "commit" in record.content, record.settings["chat_template"] == "tokenizer"
        if from_hub and (part != "chat_template" or own):
            return False  # a commit does not change
        named = str(record.settings["tokenizer"] or record.settings["source"])
        tokenizer = self.layout.recipe_folder / named if record.artifact else folder
        if part == "chat_template":
            return digest(template_text(record.settings, tokenizer, self.layout.recipe_folder)) != recorded
        if part == "tokenizer":
            return changed_identity(tokenizer_digest(tokenizer, self.digests), record.settings) != recorded
        return not record.artifact and self._weights(record, folder) != recorded

    def _weights(self, record: Record, folder: Path) -> str:
        return model_files.source_identity(folder, self.digests, with_code=bool(record.settings.get(TRUST)))

    def _differences(self, record: Record, task: Task) -> Iterator[str]:
        before = self.layout.root / record.artifact
        if artifacts.read(before) is None:
            yield "what was recorded is not on this machine, so that only the digests can be compared"
            return
        yield from differences(record.kind, before, task.output_folder)


def _complete(kind: Kind, settings: Mapping[str, Plain]) -> Mapping[str, Plain]:
    """Settings with the fields that came after they were recorded, at their defaults."""
    specification = kind.specifications.get(str(settings[kind.variant]) if kind.variant else "")
    return settings if specification is None else with_defaults(settings, specification)


def _world(settings: Mapping[str, Plain], facts: Mapping[str, Plain]) -> World:
    """As many processes as it was made by, all of them on this machine: other sums would round in another way."""
    table = settings.get("distributed")
    if not isinstance(table, Mapping):
        return World()
    together = {**table, "processes": facts.get("world_size", 1), "nodes": 1}
    return world_of({**settings, "distributed": together}, None, Host())


def _digest(record: Record, part: str) -> str:
    return record.parts.get(part, "") if part else record.output_digest


def _circumstances(record: Record, outcome: Outcome) -> Iterator[str]:
    before: Mapping[str, str] = record.provenance.versions
    for name in sorted(before.keys() & outcome.versions.keys()):
        if before[name] != outcome.versions[name]:
            yield f"{name} was {before[name]}, and is {outcome.versions[name]}"
    if record.provenance.hardware and record.provenance.hardware != outcome.hardware:
        yield f"it was made on {record.provenance.hardware}, and done again on {outcome.hardware}"
