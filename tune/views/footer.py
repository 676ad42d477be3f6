"""The last line of a plan: what it comes to, which for most plans is nothing, and then all that is said."""

from __future__ import annotations

from collections import Counter
from typing import cast

from planner.diff import WORKS, Action
from planner.plan import Plan
from tune.views.words import duration

DEEDS = ("build", "rebuild", "resume", "extend", "shorten", "update", "adopt", "move", "forget")
"""What steps may do, in the order in which it is summed up."""


def footer(plan: Plan) -> str:
    """The sum of a plan in one sentence, each step counted once."""
    if not plan.changes:
        return "No changes to what was selected." if plan.left_out else "No changes. Your models match the recipe."
    deeds = Counter(step.deed for step in plan.steps)
    counts = [f"{deeds[word]} to {word}" for word in DEEDS if deeds[word]]
    if plan.count(Action.REUSE):
        counts.append(f"{plan.count(Action.REUSE)} reused")
    return f"Plan: {', '.join(counts)}.{_estimate(plan)}"


def _estimate(plan: Plan) -> str:
    """What the work took when it was last done; nothing if any of it was never done."""
    working = [step for step in plan.steps if step.action in WORKS and step.inputs]
    if not working or not all("seconds" in step.estimate for step in working):
        return ""
    gpu, seconds = (
        sum(cast("list[float]", [step.estimate[name] for step in working])) for name in ("gpu_seconds", "seconds")
    )
    if not seconds:
        return ""
    known = f"{gpu / 3600:.2g} GPU-hours" if gpu else duration(seconds)
    return f" About {known}, from the last run."
