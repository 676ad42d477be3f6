"""The one rule of legal resume: continue only where the desired run would have been at that very point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planner.reason import NoCheckpoint, OtherLayout, Reason, ScheduleDiffers
from planner.schedule import Schedule, first_difference
from state.canonical import Plain
from state.record import Checkpoint, Splice
from state.values import frozen

ON_LENGTH_CHANGE, CONTINUE = "on_length_change", "continue"
STOPPED_EARLY = "stopped_early_at"
"""The fact that a record holds of a run which ended before its length, by what it measured: after which step."""


@frozen
class Continuation:
    """The checkpoint to continue from, or why there is none."""

    checkpoint: Checkpoint | None
    refusals: tuple[Reason, ...] = ()
    splice: Splice | None = None
    """In what the result will be no run from scratch."""


def accepts_splices(settings: Mapping[str, Plain]) -> bool:
    """Whether the recipe says that a run of another length may go on though its learning rates were others."""
    return settings.get(ON_LENGTH_CHANGE) == CONTINUE


def would_stop_too(facts: Mapping[str, Plain], before: Schedule, after: Schedule) -> bool:
    """Whether a run that ended early is what the desired length gives: the learning rates up to there are equal."""
    ended = facts.get(STOPPED_EARLY)
    return isinstance(ended, int) and ended <= after.total_steps and first_difference(before, after, ended) is None


@frozen
class Layout:
    """How a run reads and writes its checkpoints."""

    format: str = "torch"
    world_size: int | None = None
    """The number of processes that must have written a checkpoint; None: any number."""

    def fits(self, checkpoint: Checkpoint) -> bool:
        """Whether the run can read it, all of it."""
        return checkpoint.format == self.format and self.world_size in (None, checkpoint.world_size)

    def __str__(self) -> str:
        """In the words of a plan."""
        if self.world_size is None:
            return self.format
        return f"{self.format} on {self.world_size} {'process' if self.world_size == 1 else 'processes'}"


TORCH = Layout()


def continuation(
    checkpoints: Sequence[Checkpoint],
    before: Schedule,
    after: Schedule,
    layout: Layout = TORCH,
    *,
    accepted: bool = False,
) -> Continuation:
    """The newest checkpoint that the run can read and whose past is a prefix of the desired run."""
    readable = [one for one in checkpoints if layout.fits(one)]
    if checkpoints and not readable:
        newest = max(checkpoints, key=lambda one: one.step)
        written = Layout(newest.format, newest.world_size)
        return Continuation(None, (OtherLayout(newest.step, str(written), str(layout)),))
    return _on_the_way(readable, before, after, accepted=accepted)


def _on_the_way(
    checkpoints: Sequence[Checkpoint], before: Schedule, after: Schedule, *, accepted: bool
) -> Continuation:
    """The newest checkpoint whose past is a prefix of the desired run.

    Everything but length must already be known to be the same. A checkpoint at step k qualifies if the learning rates
    of the k steps taken and of the first step after it (where there is one) are equal under both schedules. If there is
    none and that is `accepted`, it is the newest within the desired run.
    """
    within = sorted((one for one in checkpoints if one.step <= after.total_steps), key=lambda one: one.step)
    if not within:
        return Continuation(None, (NoCheckpoint(),) if not checkpoints else (_refusal(checkpoints, before, after),))
    compared = min(within[-1].step + 1, after.total_steps)
    differing = first_difference(before, after, compared)
    legal = [one for one in within if differing is None or min(one.step + 1, after.total_steps) <= differing]
    if legal:
        return Continuation(legal[-1])
    refusal = _refusal(checkpoints, before, after)
    if accepted and isinstance(refusal, ScheduleDiffers):
        newest = within[-1]
        splice = Splice(newest.step, newest.digest, refusal.step, refusal.before, refusal.after)
        return Continuation(newest, splice=splice)
    return Continuation(None, (refusal,))


def _refusal(checkpoints: Sequence[Checkpoint], before: Schedule, after: Schedule) -> NoCheckpoint | ScheduleDiffers:
    """Why none of the checkpoints qualifies."""
    reachable = min(max(one.step for one in checkpoints) + 1, after.total_steps)
    differing = first_difference(before, after, reachable)
    if differing is None:
        return NoCheckpoint()
    return ScheduleDiffers(differing + 1, before.at(differing), after.at(differing))
