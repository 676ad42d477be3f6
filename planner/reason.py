"""Why a step is what it is: data for people and machines, never read to decide anything."""

from __future__ import annotations

from typing import TypeAlias

from attrs import evolve

from planner.effects import Effect
from state.canonical import Plain
from state.plain import later
from state.values import frozen


@frozen
class NotInState:
    """Nothing of this address was ever made."""


@frozen
class NotInRecipe:
    """The recipe no longer has it."""


@frozen
class FieldChanged:
    """A setting has another value than the one it was made with."""

    field: str
    before: Plain
    after: Plain
    effect: Effect
    why: str


@frozen
class ContentChanged:
    """Something read from outside the recipe has other bytes; digests before and after, "" for absent."""

    name: str
    before: str
    after: str


@frozen
class InputChanged:
    """It is made from something else now, or may be: `certain` is False while the input's digest is unknown."""

    field: str
    input: str
    certain: bool
    because: tuple[Reason, ...]
    """Why the input changes, down to the field or the data; empty where only the recipe's naming of it did."""
    naming: str = later("")
    """What an edit did to its name in the field: "added", "removed", "replaced" or "reordered"; "" where it stayed."""
    before: str = later("")
    """The address that it replaced."""


@frozen
class InputAssumed:
    """Nobody knew what this input was when the result was imported: it is taken to be what the recipe names."""

    field: str
    input: str


@frozen
class CodeChanged:
    """The kind is built differently since it was made."""

    before: int
    after: int


@frozen
class Interrupted:
    """The last attempt was stopped or killed."""

    step: int
    """Of the newest checkpoint that can be continued from; 0 if there is none."""
    reached: int = 0
    """Of the newest checkpoint that it left, where none can be continued from; 0 if it left none."""


@frozen
class Failed:
    """The last attempt ended with an error."""

    error: str


@frozen
class ScheduleDiffers:
    """No checkpoint can be continued from: a learning rate already used would be another one."""

    step: int
    """The first optimizer step that differs, counted from 1."""
    before: float
    after: float


@frozen
class StoppedEarly:
    """The run ended before its length because it no longer became better; a longer one would have ended there too."""

    step: int


@frozen
class OtherLayout:
    """No checkpoint can be continued from: what is saved in them is laid out for another strategy or world size."""

    step: int
    """Of the newest one."""
    before: str
    after: str


@frozen
class NotEquivalent:
    """It is continued although a learning rate already used would be another one, because the recipe accepts that."""

    step: int
    """Of the checkpoint that is continued from."""
    differs: int
    """The first optimizer step that differs, counted from 1."""
    before: float
    after: float


@frozen
class NoLongerAccepted:
    """It was continued although its learning rates had been others, and the recipe does not accept that any more."""

    step: int
    """Of the checkpoint that was continued from."""


@frozen
class OtherLength:
    """The run is to have another number of optimizer steps."""

    before: int
    after: int


@frozen
class NoCheckpoint:
    """There is no complete checkpoint that the run could continue from."""


@frozen
class ArtifactMissing:
    """What this machine made is no longer on its disk as it was made."""

    folder: str


@frozen
class GateFailed:
    """The result is not good enough."""

    detail: str


@frozen
class MadeBefore:
    """Exactly this was made before, at that address, and still exists."""

    address: str


@frozen
class Shared:
    """Exactly this was made by somebody else, and is fetched from the store that we share."""

    store: str
    """Where it lies."""


@frozen
class AskedFor:
    """Nothing has changed; somebody wants it made anew."""


@frozen
class Moved:
    """The recipe says that it had another address before."""

    before: str


@frozen
class Removed:
    """The recipe says that it was taken out on purpose."""


@frozen
class Imported:
    """The recipe says that it was made elsewhere, and where it lies."""

    folder: str


Edit: TypeAlias = FieldChanged | ContentChanged | InputChanged | InputAssumed | CodeChanged | AskedFor
"""Why a result is no longer, or may no longer be, what the recipe describes."""
Ending: TypeAlias = Interrupted | Failed | StoppedEarly | GateFailed
"""How what is there came to its end."""
Continuing: TypeAlias = OtherLength | NoCheckpoint | ScheduleDiffers | OtherLayout | NotEquivalent | NoLongerAccepted
"""What going on from a checkpoint comes to."""
Absence: TypeAlias = NotInState | NotInRecipe | Removed | ArtifactMissing
"""What is not where it would be looked for."""
Origin: TypeAlias = MadeBefore | Shared | Moved | Imported
"""Where there is what need not be made."""
Reason: TypeAlias = Edit | Ending | Continuing | Absence | Origin

CODES: dict[type[Reason], str] = {
    NotInState: "not_in_state",
    NotInRecipe: "not_in_recipe",
    FieldChanged: "field_changed",
    ContentChanged: "content_changed",
    InputChanged: "input_changed",
    InputAssumed: "input_assumed",
    CodeChanged: "code_changed",
    Interrupted: "interrupted",
    Failed: "failed",
    ScheduleDiffers: "schedule_differs",
    StoppedEarly: "stopped_early",
    OtherLayout: "other_layout",
    NotEquivalent: "not_equivalent",
    NoLongerAccepted: "no_longer_accepted",
    OtherLength: "other_length",
    NoCheckpoint: "no_checkpoint",
    ArtifactMissing: "artifact_missing",
    GateFailed: "gate_failed",
    MadeBefore: "made_before",
    Shared: "shared",
    AskedFor: "asked_for",
    Moved: "moved",
    Removed: "removed",
    Imported: "imported",
}
"""Stable names for machines; readers must tolerate ones that they do not know."""
FORK = 2
"""Changed inputs from which on an origin may be reached in several ways."""


def told_once(reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """The reasons with the cause of each input below them only where it comes first.

    Ways that part and meet again would otherwise be told once for each way, which doubles at every fork.
    """
    if sum(isinstance(one, InputChanged) for one in reasons) < FORK:
        return reasons
    return _untold(reasons, set())


def _untold(reasons: tuple[Reason, ...], told: set[str]) -> tuple[Reason, ...]:
    kept: list[Reason] = []
    for reason in reasons:
        if isinstance(reason, InputChanged):
            below = () if reason.input in told else reason.because
            told.add(reason.input)
            kept.append(evolve(reason, because=_untold(below, told)))
        else:
            kept.append(reason)
    return tuple(kept)
