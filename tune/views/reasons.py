"""Reasons as sentences; every kind of reason is worded here, and the type checker knows if one is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

from planner.effects import Effect
from planner.kind import Kinds
from planner.plan import Step
from planner.reason import (
    Absence,
    ArtifactMissing,
    AskedFor,
    CodeChanged,
    ContentChanged,
    Continuing,
    Edit,
    Ending,
    Failed,
    FieldChanged,
    GateFailed,
    Imported,
    InputAssumed,
    InputChanged,
    Interrupted,
    MadeBefore,
    Moved,
    NoCheckpoint,
    NoLongerAccepted,
    NotEquivalent,
    NotInRecipe,
    NotInState,
    Origin,
    OtherLayout,
    OtherLength,
    Reason,
    Removed,
    ScheduleDiffers,
    Shared,
    StoppedEarly,
)
from tune.views.notes import place
from tune.views.words import change, plural, short, verb_of


def sentence(reason: Reason, verb: str) -> str:
    """A reason in one line; `verb` is what the kind calls a rebuild."""
    if isinstance(reason, Edit):
        return _edited(reason, verb)
    if isinstance(reason, Ending):
        return _ended(reason)
    if isinstance(reason, Continuing):
        return _continued(reason)
    return _absent(reason) if isinstance(reason, Absence) else _there(reason)


def _edited(reason: Edit, verb: str) -> str:
    match reason:
        case FieldChanged(field, before, after, effect, why):
            return f"{field}: {change(before, after)}  # {_consequence(effect, verb)}: {why}"
        case ContentChanged(name, before, after):
            return f"{name}: {_content(before, after)}"
        case InputChanged():
            return f"{_input(reason)}{_root(reason.because)}"
        case InputAssumed(field, source):
            return f"{field}: what it was imported with is taken to be what the recipe names, {source}"
        case CodeChanged(before, after):
            return f"this version of tune builds it differently (code {before} -> {after})"
        case AskedFor():
            return "asked for with --replace"
        case _:
            assert_never(reason)


def _ended(reason: Ending) -> str:
    match reason:
        case Interrupted(0, 0):
            return "interrupted before its first checkpoint"
        case Interrupted(0, reached):
            return f"interrupted after the checkpoint of step {reached}"
        case Interrupted(step):
            return f"interrupted; continues from step {step}"
        case Failed(error):
            return f"failed: {error}"
        case StoppedEarly(step):
            return f"it ended early after step {step}, and would have ended there at this length too"
        case GateFailed(detail):
            return f"gate failed: {detail}"
        case _:
            assert_never(reason)


def _continued(reason: Continuing) -> str:
    match reason:
        case OtherLength(before, after):
            return f"a run of {plural(before, 'step')} becomes one of {after:,}"
        case NoCheckpoint():
            return "there is no complete checkpoint that it could continue from"
        case ScheduleDiffers(step, before, after):
            return (
                f"cannot be continued: the learning rate of step {step} was {before:.6g} "
                f"and would be {after:.6g} in a run of this length"
            )
        case OtherLayout(step, before, after):
            return f"cannot be continued: the checkpoint of step {step} is {before}, and the run is to be {after}"
        case NotEquivalent(step, differs, before, after):
            return (
                f"not equivalent to a run from scratch: it goes on from step {step}, though the learning rate of "
                f'step {differs} was {before:.6g} and would be {after:.6g} (on_length_change = "continue")'
            )
        case NoLongerAccepted(step):
            return (
                f"went on from step {step} with learning rates of another run, "
                'which the recipe no longer accepts: on_length_change is not "continue"'
            )
        case _:
            assert_never(reason)


def _absent(reason: Absence) -> str:
    match reason:
        case NotInState():
            return "not in state yet"
        case NotInRecipe():
            return "no longer in the recipe; its files stay until they are collected"
        case Removed():
            return "removed on purpose; its files stay until they are collected"
        case ArtifactMissing(folder):
            return f".tune/{folder} is missing, incomplete or changed on this machine, which made it"
        case _:
            assert_never(reason)


def _there(reason: Origin) -> str:
    match reason:
        case MadeBefore(address):
            return f"exactly this was made before, as {address}: nothing to compute"
        case Shared(store):
            return f"exactly this is in {store} already: fetched, not computed"
        case Moved(before):
            return f"moved from {before}"
        case Imported(folder):
            return f"imported from {folder}; that it was made from what the recipe names is taken on its word"
        case _:
            assert_never(reason)


def chain(step: Step, steps: Mapping[str, Step], kinds: Kinds) -> Iterator[tuple[int, str]]:
    """Every reason of a step with those below it, as (depth, sentence); `steps` are all of the plan, by address."""

    def below(reasons: tuple[Reason, ...], address: str, depth: int) -> Iterator[tuple[int, str]]:
        for reason in reasons:
            if isinstance(reason, InputChanged):
                yield depth, _input(reason)
                yield from below(reason.because, reason.input, depth + 1)
            else:
                yield depth, f"{sentence(reason, verb_of(address, kinds))}{place(steps.get(address), reason)}"

    return below(step.reasons, step.address, 0)


def _consequence(effect: Effect, verb: str) -> str:
    match effect:
        case Effect.REBUILD:
            return f"forces {verb}"
        case Effect.LENGTH:
            return "changes the length"
        case Effect.NUMERICS:
            return "same training, other rounding"
        case Effect.RUNTIME:
            return "holds from the next run on"
        case Effect.METADATA | Effect.UPSTREAM:
            return "recorded"
        case _:
            assert_never(effect)


def _content(before: str, after: str) -> str:
    if not before:
        return "new"
    return f"content changed ({short(before)} -> {short(after)})" if after else "no longer there"


def _input(reason: InputChanged) -> str:
    """What became of an input, without the reasons below it."""
    match reason.naming:
        case "replaced":
            return f"{reason.field}: {reason.before} -> {reason.input}"
        case "added":
            return f"{reason.field}: {reason.input} is added"
        case "removed":
            return f"{reason.field}: {reason.input} is taken out"
        case "reordered":
            return f"{reason.field}: {reason.input} has another place"
        case _:
            return f"{reason.field}: {reason.input} {'changes' if reason.certain else 'may change'}"


def _root(because: tuple[Reason, ...]) -> str:
    """The far end of a chain: what was really edited, and through what it came here."""
    if not because:
        return ""
    through, reasons = [], because
    while reasons and isinstance(reasons[0], InputChanged):
        last = reasons[0]
        through.append(last.input)
        reasons = last.because
    cause = brief(reasons[0]) if reasons else ""
    if not cause and last.naming:
        through, cause = through[:-1], _input(last)
    way = f" through {', '.join(through)}" if through else ""
    return f"{way}, because {cause}" if cause else way


def brief(reason: Reason) -> str:
    """A reason without its consequence."""
    match reason:
        case FieldChanged(field, before, after):
            return f"{field}: {change(before, after)}"
        case ContentChanged(name, before, after):
            return f"{name} {('changed' if after else 'is gone') if before else 'is new'}"
        case NotInState():
            return "it is new"
        case _:
            return sentence(reason, "rebuild")
