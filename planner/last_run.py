"""How long a step may take: what the last run of the same address took, for as many steps as are to be taken now."""

from __future__ import annotations

from planner.diff import WORKS, Change
from planner.reason import OtherLength
from state.canonical import Plain
from state.record import Record


def last_run(found: Change, record: Record | None) -> dict[str, Plain]:
    """What the last run of the same address took, for as many steps as are to be taken now.

    Nothing where none was finished, or it only took what was there.
    """
    if found.action not in WORKS or record is None or not record.output_digest or not record.provenance.seconds:
        return {}
    last, share = record.provenance, _share_of_steps(record)
    if not share:
        return {}
    part = _share_to_take(found) / share
    seconds, gpu_seconds = (round(one * part, 3) for one in (last.seconds, last.gpu_seconds))
    return {"seconds": seconds, "gpu_seconds": gpu_seconds, "basis": "the last run"}


def _share_to_take(found: Change) -> float:
    """How many steps the run takes now, of as many as it had; 1 where its length stays."""
    begin = found.resume_from.step if found.resume_from is not None else 0
    lengths = [one for one in found.reasons if isinstance(one, OtherLength) and one.before]
    return max(0, lengths[0].after - begin) / lengths[0].before if lengths else 1.0


def _share_of_steps(record: Record) -> float:
    """Which part of its steps the last run took itself; the others it found in a checkpoint."""
    steps, before = record.metrics.get("steps"), record.facts.get("resumed_from")
    if not isinstance(steps, int) or not isinstance(before, int) or not before:
        return 1.0
    return max(0, steps - before) / steps
