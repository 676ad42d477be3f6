"""The one rule of legal resume: continue only where the desired run would have been at that very point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from planner.reason import NoCheckpoint, OtherLayout, Reason, ScheduleDiffers
from planner.schedule import Schedule, first_difference
from state.canonical import Plain
from state.record import Checkpoint

STOPPED_EARLY = "stopped_early_at"
"""The fact that a record holds of a run which ended before its length, by what it measured: after which step."""


@frozen
class Continuation:
    """The checkpoint to continue from, or why there is none."""

    checkpoint: Checkpoint | None
    refusals: tuple[Reason, ...] = ()


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
    checkpoints: Sequence[Checkpoint], before: Schedule, after: Schedule, layout: Layout = TORCH
) -> Continuation:
    """The newest checkpoint that the run can read and whose past is a prefix of the desired run."""
    readable = [one for one in checkpoints if layout.fits(one)]
    if checkpoints and not readable:
        newest = max(checkpoints, key=lambda one: one.step)
        written = Layout(newest.format, newest.world_size)
        return Continuation(None, (OtherLayout(newest.step, str(written), str(layout)),))
    return _on_the_way(readable, before, after)


def _on_the_way(checkpoints: Sequence[Checkpoint], before: Schedule, after: Schedule) -> Continuation:
    """The newest checkpoint whose past is a prefix of the desired run.

    Everything but length must already be known to be the same. A checkpoint at step k qualifies if the learning rates
    of the k steps taken and of the first step after it (where there is one) are equal under both schedules.
    """
    if not checkpoints:
        return Continuation(None, (NoCheckpoint(),))
    for checkpoint in sorted(checkpoints, key=lambda one: one.step, reverse=True):
        if checkpoint.step <= after.total_steps:
            compared = min(checkpoint.step + 1, after.total_steps)
            if first_difference(before, after, compared) is None:
                return Continuation(checkpoint)
    reachable = min(max(one.step for one in checkpoints) + 1, after.total_steps)
    differing = first_difference(before, after, reachable)
    if differing is None:
        return Continuation(None, (NoCheckpoint(),))
    return Continuation(None, (ScheduleDiffers(differing + 1, before.at(differing), after.at(differing)),))
