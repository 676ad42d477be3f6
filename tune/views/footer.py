"""The last line of a plan: what it comes to, which for most plans is nothing, and then all that is said."""

from __future__ import annotations

from collections import Counter
from typing import cast

from planner.diff import WORKS, Action
from planner.plan import Plan
from tune.views.words import duration


def footer(plan: Plan) -> str:
    """The sum of a plan in one sentence, each step counted once."""
    if not plan.changes:
        return "No changes to what was selected." if plan.left_out else "No changes. Your models match the recipe."
    done = (Action.BUILD, Action.REBUILD, Action.RESUME, Action.EXTEND, Action.UPDATE, Action.ADOPT, Action.MOVE)
    deeds = Counter((step.action, step.deed) for step in plan.steps)
    counts = [
        f"{count} to {word}"
        for action in (*done, Action.FORGET)
        for (own, word), count in sorted(deeds.items())
        if own is action
    ]
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
    known = f"{gpu / 3600:.2g} GPU-hours" if gpu else duration(seconds)
    return f" About {known}, from the last run."
