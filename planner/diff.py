"""One resource against its record: what has to be done, and why."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, cast

from planner.desired import action_key
from planner.differences import Differences, compare, is_unknown
from planner.reason import (
    ArtifactMissing,
    Failed,
    GateFailed,
    Imported,
    Interrupted,
    MadeBefore,
    NoCheckpoint,
    NotEquivalent,
    NotInState,
    Reason,
    Shared,
    StoppedEarly,
)
from planner.situation import Situation
from state.record import Checkpoint, Record, Splice, Status
from state.values import frozen

if TYPE_CHECKING:
    from planner.resume import Continuation


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
WORKS = (Action.EXTEND, Action.RESUME, Action.BUILD, Action.REBUILD)


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
    differences = compare(situation, record)
    if record.output_digest:
        return _finished(situation, record, differences)
    return _unfinished(situation, record, differences)


def _recorded_only(situation: Situation) -> Change:
    if situation.record is None:
        return Change(Action.BUILD, (NotInState(),))
    reasons = compare(situation, situation.record).all
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
        return _shared(situation, key) or _unfinished(situation, record, compare(situation, record))
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
    if own is None or not any(is_unknown(one) for group in own.inputs.values() for one in group):
        return False
    differences = compare(situation, own)
    return not (differences.forcing or differences.possible or differences.length)


def _known_key(situation: Situation) -> str | None:
    digests = {name: [one.digest for one in group] for name, group in situation.inputs.items()}
    if any(one is None for group in digests.values() for one in group):
        return None
    return action_key(situation.desired, {name: tuple(filter(None, group)) for name, group in digests.items()})


def _finished(situation: Situation, record: Record, differences: Differences) -> Change:
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


def _lost(situation: Situation, record: Record, differences: Differences) -> Change:
    """The artifact is gone: the newest checkpoint that is left is the shortest way back."""
    reasons: tuple[Reason, ...] = (ArtifactMissing(record.artifact), *differences.length, *differences.light)
    found = _continuation(situation, record)
    if found.checkpoint is None:
        return Change(Action.REBUILD, reasons)
    return _continued(Action.RESUME, reasons, found, record)


def _longer(situation: Situation, record: Record, differences: Differences) -> Change:
    """Another length: continue from the newest checkpoint that the desired run would have passed through."""
    ended = _stopped_early(situation, record)
    if ended is not None:
        reasons = (ended, *differences.length, *differences.light)
        return Change(Action.UPDATE, reasons, record=record, splices=record.splices)
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


def _unfinished(situation: Situation, record: Record, differences: Differences) -> Change:
    if differences.forcing or differences.possible:
        return Change(Action.BUILD, differences.all)
    found = _continuation(situation, record)
    if found.checkpoint is None:
        return Change(Action.BUILD, (*_given_up(record, found), *differences.all))
    step = found.checkpoint.step
    ended = Interrupted(step) if record.status is Status.INTERRUPTED else Failed(record.error)
    return _continued(Action.RESUME, (ended, *differences.all), found, record)


def _given_up(record: Record, found: Continuation) -> tuple[Reason, ...]:
    """How an attempt ended that cannot be continued, and why it cannot."""
    if record.status is not Status.INTERRUPTED:
        return Failed(record.error), *found.refusals
    reached = max((one.step for one in record.checkpoints), default=0)
    return Interrupted(0, reached), *(found.refusals if reached else ())


def _stopped_early(situation: Situation, record: Record) -> StoppedEarly | None:
    """That the run ended before its length, as one of the desired length would; None if it did not, or would not."""
    from planner.resume import STOPPED_EARLY, would_stop_too

    schedule = situation.kind.schedule
    if schedule is None or STOPPED_EARLY not in record.facts:
        return None
    before = schedule(record.settings, situation.input_records)
    after = schedule(situation.desired.settings, situation.input_records)
    ended = StoppedEarly(cast("int", record.facts[STOPPED_EARLY]))
    return ended if would_stop_too(record.facts, before, after) else None


def _continuation(situation: Situation, record: Record) -> Continuation:
    from planner.resume import Continuation, accepts_splices, continuation

    if situation.kind.schedule is None:
        return Continuation(None, (NoCheckpoint(),) if record.checkpoints else ())
    before = situation.kind.schedule(record.settings, situation.input_records)
    after = situation.kind.schedule(situation.desired.settings, situation.input_records)
    usable = tuple(one for one in record.checkpoints if situation.local.usable(record, one))
    accepted = accepts_splices(situation.desired.settings)
    return continuation(usable, before, after, situation.kind.layout(situation.desired.settings), accepted=accepted)
