"""The one rule of legal resume: continue only where the desired run would have been at that very point."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from planner.reason import NoCheckpoint, Reason, ScheduleDiffers
from planner.schedule import Schedule, first_difference
from state.record import Checkpoint


@frozen
class Continuation:
    """The checkpoint to continue from, or why there is none."""

    checkpoint: Checkpoint | None
    refusals: tuple[Reason, ...] = ()


def continuation(checkpoints: Sequence[Checkpoint], before: Schedule, after: Schedule) -> Continuation:
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
