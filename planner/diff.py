"""One resource against its record: what has to be done, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import cast

from attrs import frozen

from planner.desired import Desired, Inputs, action_key, effect_of, flatten, same
from planner.effects import Effect, declared, input_effect
from planner.kind import Kind
from planner.lifecycle_table import LIFECYCLE, WHY
from planner.reason import (
    ArtifactMissing,
    AskedFor,
    CodeChanged,
    ContentChanged,
    Failed,
    FieldChanged,
    GateFailed,
    Imported,
    InputAssumed,
    InputChanged,
    Interrupted,
    MadeBefore,
    NoCheckpoint,
    NoLongerAccepted,
    NotEquivalent,
    NotInState,
    Reason,
    Shared,
    StoppedEarly,
)
from planner.resume import STOPPED_EARLY, Continuation, accepts_splices, continuation, would_stop_too
from planner.structure import with_defaults
from state.record import Checkpoint, InputRecord, Record, Splice, Status, Superseded


class Action(StrEnum):
    """What a step does. The values are those of the plan's JSON, from the cheapest to the dearest."""

    REUSE = "reuse"
    UPDATE = "update"
    MOVE = "move"
    ADOPT = "adopt"
    FORGET = "forget"
    EXTEND = "extend"
    RESUME = "resume"
    BUILD = "build"
    REBUILD = "rebuild"


RECORDS_ONLY = (Action.UPDATE, Action.MOVE, Action.ADOPT, Action.FORGET)
_WEIGHT = list(Effect)
WORKS = (Action.EXTEND, Action.RESUME, Action.BUILD, Action.REBUILD)


def _nothing_shared(_: str) -> None:
    return None


@frozen
class Local:
    """What only the machine at hand can tell: answers must be cheap, for every plan asks."""

    artifact_missing: Callable[[Record], bool]
    """Whether this machine made the record's artifact and no longer has it whole."""
    usable: Callable[[Record, Checkpoint], bool]
    """Whether a checkpoint of a record may be continued from, as far as this machine can tell."""
    shared: Callable[[str], Record | None] = _nothing_shared
    """What the shared store has under an action key; asked only for what would otherwise have to be built."""
    store: str = ""
    """How messages name the shared store."""


@frozen
class Situation:
    """All that decides about one resource."""

    kind: Kind
    desired: Desired
    inputs: Inputs
    input_records: Mapping[str, tuple[Record, ...]]
    """The records of the inputs whose digests are known, by field."""
    causes: Mapping[str, tuple[Reason, ...]]
    """Why each input changes, by address."""
    record: Record | None
    kept: Mapping[str, Superseded]
    """Everything that was ever made and still exists, at whatever address, by action key."""
    local: Local


@frozen
class Change:
    """What to do about one resource."""

    action: Action
    reasons: tuple[Reason, ...] = ()
    conditional: bool = False
    """True if it may turn out, while applying, that there is nothing to do."""
    resume_from: Checkpoint | None = None
    record: Record | None = None
    """What exists already and will be the resource's record, up to settings; None if it has to be made."""
    splices: tuple[Splice, ...] = ()
    """In what it is, or will be, no run from scratch."""


@frozen
class _Differences:
    light: tuple[FieldChanged | InputAssumed | InputChanged, ...]
    length: tuple[FieldChanged, ...]
    forcing: tuple[Reason, ...]
    possible: tuple[Reason, ...]
    """Inputs whose digest is not known yet."""

    @property
    def all(self) -> tuple[Reason, ...]:
        return (*self.forcing, *self.length, *self.possible, *self.light)


def change(situation: Situation) -> Change:
    """What has to be done about one resource."""
    desired, record = situation.desired, situation.record
    if not desired.builds:
        return _recorded_only(situation)
    if record is None and desired.imported:
        return Change(Action.ADOPT, (Imported(desired.imported),))
    made_before = _made_before(situation)
    if made_before is not None:
        return made_before
    if record is None:
        return Change(Action.BUILD, (NotInState(),))
    differences = _differences(situation, record)
    if record.output_digest:
        return _finished(situation, record, differences)
    return _unfinished(situation, record, differences)


def _recorded_only(situation: Situation) -> Change:
    if situation.record is None:
        return Change(Action.BUILD, (NotInState(),))
    reasons = _differences(situation, situation.record).all
    return Change(Action.UPDATE if reasons else Action.REUSE, reasons, record=situation.record)


def _made_before(situation: Situation) -> Change | None:
    """Adoption of what another address, an earlier edit or somebody else made under the very same key."""
    key = _known_key(situation)
    if key is None or situation.kind.publishes or _has_it(situation, key) or _is_taken_at_its_word(situation):
        return None
    found = situation.kept.get(key)
    if found is None or found.record is situation.record:
        return _shared(situation, key)
    record = found.record
    if not record.output_digest:
        return _shared(situation, key) or _unfinished(situation, record, _differences(situation, record))
    if situation.local.artifact_missing(record):
        return _shared(situation, key)
    return Change(Action.ADOPT, (MadeBefore(found.address),), record=record)


def _shared(situation: Situation, key: str) -> Change | None:
    """Adoption of what the shared store has."""
    record = situation.local.shared(key)
    return Change(Action.ADOPT, (Shared(situation.local.store),), record=record) if record is not None else None


def _has_it(situation: Situation, key: str) -> bool:
    """Whether the resource's own record is that of the key, finished and whole: another of the same key is no news."""
    own = situation.record
    if own is None or own.action_key != key or not own.output_digest:
        return False
    return not situation.local.artifact_missing(own)


def _is_taken_at_its_word(situation: Situation) -> bool:
    """Whether the resource was imported and only its inputs are to be assumed: nothing made elsewhere replaces it."""
    own = situation.record
    if own is None or not any(_is_unknown(one) for group in own.inputs.values() for one in group):
        return False
    differences = _differences(situation, own)
    return not (differences.forcing or differences.possible or differences.length)


def _known_key(situation: Situation) -> str | None:
    digests = {name: [one.digest for one in group] for name, group in situation.inputs.items()}
    if any(one is None for group in digests.values() for one in group):
        return None
    return action_key(situation.desired, {name: tuple(filter(None, group)) for name, group in digests.items()})


def _finished(situation: Situation, record: Record, differences: _Differences) -> Change:
    if differences.forcing or differences.possible:
        return Change(Action.REBUILD, differences.all, conditional=not differences.forcing)
    if situation.local.artifact_missing(record):
        return _lost(situation, record, differences)
    if differences.length:
        return _longer(situation, record, differences)
    failed = situation.kind.judge(situation.desired.settings, record.metrics, record.earlier)
    if failed:
        reasons = (*(GateFailed(one) for one in failed), *differences.light)
        return Change(Action.UPDATE, reasons, record=record, splices=record.splices)
    action = Action.UPDATE if differences.light else Action.REUSE
    return Change(action, differences.light, record=record, splices=record.splices)


def _lost(situation: Situation, record: Record, differences: _Differences) -> Change:
    """The artifact is gone: the newest checkpoint that is left is the shortest way back."""
    reasons: tuple[Reason, ...] = (ArtifactMissing(record.artifact), *differences.length, *differences.light)
    found = _continuation(situation, record)
    if found.checkpoint is None:
        return Change(Action.REBUILD, reasons)
    return _continued(Action.RESUME, reasons, found, record)


def _longer(situation: Situation, record: Record, differences: _Differences) -> Change:
    """Another length: continue from the newest checkpoint that the desired run would have passed through."""
    if _would_stop_too(situation, record):
        ended = StoppedEarly(cast("int", record.facts[STOPPED_EARLY]))
        return Change(
            Action.UPDATE, (ended, *differences.length, *differences.light), record=record, splices=record.splices
        )
    found = _continuation(situation, record)
    if found.checkpoint is None:
        return Change(Action.REBUILD, (*differences.length, *found.refusals, *differences.light))
    return _continued(Action.EXTEND, differences.all, found, record)


def _continued(action: Action, reasons: tuple[Reason, ...], found: Continuation, record: Record) -> Change:
    """The change that goes on from a checkpoint of a record; what is not equivalent stays so."""
    one = found.splice
    if one is None:
        return Change(action, reasons, resume_from=found.checkpoint, splices=record.splices)
    told = NotEquivalent(one.step, one.differs, one.before, one.after)
    return Change(action, (*reasons, told), resume_from=found.checkpoint, splices=(*record.splices, one))


def _unfinished(situation: Situation, record: Record, differences: _Differences) -> Change:
    if differences.forcing or differences.possible:
        return Change(Action.BUILD, differences.all)
    found = _continuation(situation, record)
    if record.status is Status.INTERRUPTED:
        ended: Reason = Interrupted(found.checkpoint.step if found.checkpoint else 0)
    else:
        ended = Failed(record.error)
    if found.checkpoint is None:
        return Change(Action.BUILD, (ended, *found.refusals, *differences.all))
    return _continued(Action.RESUME, (ended, *differences.all), found, record)


def _would_stop_too(situation: Situation, record: Record) -> bool:
    schedule = situation.kind.schedule
    if schedule is None or STOPPED_EARLY not in record.facts:
        return False
    before = schedule(record.settings, situation.input_records)
    return would_stop_too(record.facts, before, schedule(situation.desired.settings, situation.input_records))


def _continuation(situation: Situation, record: Record) -> Continuation:
    if situation.kind.schedule is None:
        return Continuation(None, (NoCheckpoint(),) if record.checkpoints else ())
    before = situation.kind.schedule(record.settings, situation.input_records)
    after = situation.kind.schedule(situation.desired.settings, situation.input_records)
    usable = tuple(one for one in record.checkpoints if situation.local.usable(record, one))
    accepted = accepts_splices(situation.desired.settings)
    return continuation(usable, before, after, situation.kind.layout(situation.desired.settings), accepted=accepted)


def _differences(situation: Situation, record: Record) -> _Differences:
    fields = tuple(_field_changes(situation.desired, record))
    found = tuple(_input_changes(situation, record))
    changed = tuple(one for one in found if isinstance(one, InputChanged))
    inputs = tuple(one for one in changed if _decides(situation, record, one.field))
    beside = tuple(one for one in changed if one not in inputs)
    assumed = tuple(one for one in found if isinstance(one, InputAssumed))
    forcing: list[Reason] = [AskedFor()] if situation.desired.generation != record.generation else []
    forcing += [one for one in fields if one.effect is Effect.REBUILD]
    forcing += _content_changes(situation.desired, record)
    if situation.desired.code != record.code:
        forcing.append(CodeChanged(record.code, situation.desired.code))
    forcing += [one for one in inputs if one.certain]
    if record.splices and not accepts_splices(situation.desired.settings):
        forcing.append(NoLongerAccepted(record.splices[-1].step))
    return _Differences(
        light=(*(one for one in fields if one.effect not in (Effect.REBUILD, Effect.LENGTH)), *assumed, *beside),
        length=tuple(one for one in fields if one.effect is Effect.LENGTH),
        forcing=tuple(forcing),
        possible=tuple(one for one in inputs if not one.certain),
    )


def _decides(situation: Situation, record: Record, field: str) -> bool:
    """Whether an input is part of what the result is, or was when it was made."""
    specification, both = situation.desired.specification, (record.settings, situation.desired.settings)
    return any(input_effect(specification, field, one) is Effect.REBUILD for one in both)


def _field_changes(desired: Desired, record: Record) -> Iterator[FieldChanged]:
    recorded = with_defaults(record.settings, desired.specification)
    differing = [
        name
        for name in recorded.keys() | desired.settings.keys()
        if not same(recorded.get(name), desired.settings.get(name))
    ]
    before, after = (
        flatten({name: settings[name] for name in differing if name in settings})
        for settings in (recorded, desired.settings)
    )
    for path in sorted(before.keys() | after.keys()):
        if not same(before.get(path), after.get(path)):
            # What decided then and does not any more, such as early stopping that was taken out, still did decide.
            effect = max(
                (effect_of(desired.specification, path, one) for one in (record.settings, desired.settings)),
                key=_WEIGHT.index,
            )
            why = declared(desired.specification, path).why
            yield FieldChanged(path, before.get(path), after.get(path), effect, why)
    if desired.protected != record.protected:
        yield FieldChanged(f"{LIFECYCLE}.protect", record.protected, desired.protected, Effect.METADATA, WHY)


def _content_changes(desired: Desired, record: Record) -> list[Reason]:
    names = sorted(record.content.keys() | desired.content.keys())
    pairs = ((name, record.content.get(name, ""), desired.content.get(name, "")) for name in names)
    return [ContentChanged(name, before, after) for name, before, after in pairs if before != after]


def _input_changes(situation: Situation, record: Record) -> Iterator[InputChanged | InputAssumed]:
    """Inputs are compared by field, position and digest, so that a rename changes nothing."""
    for field in sorted(record.inputs.keys() | situation.inputs.keys()):
        before = record.inputs.get(field, ())
        after = situation.inputs.get(field, ())
        for position in range(max(len(before), len(after))):
            recorded = before[position] if position < len(before) else None
            if position >= len(after):
                yield InputChanged(field, before[position].address, certain=True, because=())
                continue
            given = after[position]
            causes = situation.causes.get(given.source.address, ())
            same = recorded is not None and _same_source(recorded, given.source.address, given.source.part)
            if recorded is not None and same and _is_unknown(recorded):
                yield InputAssumed(field, given.source.address)
            elif given.digest is None:
                yield InputChanged(field, given.source.address, certain=not same, because=causes)
            elif recorded is None or recorded.digest != given.digest:
                yield InputChanged(field, given.source.address, certain=True, because=causes)


def _is_unknown(recorded: InputRecord) -> bool:
    """Whether a result was imported before anybody could tell what this input of it was."""
    return not recorded.digest and not recorded.verified


def _same_source(recorded: InputRecord, address: str, part: str) -> bool:
    return (recorded.address, recorded.part) == (address, part)
