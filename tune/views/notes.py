"""What a plan tells beside its reasons: settings that rows told, and how rows differ from those of before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from planner.plan import PLACES, Step
from planner.reason import FieldChanged, Reason
from tune.views.words import value


def notes(step: Step) -> Iterator[str]:
    """A step's notes, each in one line; those that this version does not know are left out."""
    detected = step.notes.get("detected")
    if isinstance(detected, Mapping):
        yield ", ".join(f"{name} = {value(one)}" for name, one in detected.items()) + " (told from the first rows)"
    rows = step.notes.get("rows")
    if isinstance(rows, Mapping):
        yield _rows(cast("Mapping[str, int]", rows))


def place(step: Step | None, reason: Reason) -> str:
    """Where the recipe has what a reason of a step is about, in brackets behind it; "" where it is not known."""
    places = step.notes.get(PLACES) if step is not None else None
    if not isinstance(reason, FieldChanged) or not isinstance(places, Mapping) or reason.field not in places:
        return ""
    return f" ({places[reason.field]})"


def _rows(rows: Mapping[str, int]) -> str:
    if "added" not in rows:
        return f"rows: {rows['before']:,} before, too many to compare for a plan"
    counts = [f"{rows[name]:,} {name}" for name in ("added", "removed", "changed") if rows[name]]
    broken = f"; {rows['broken']:,} of the new ones broken, skipped" if rows.get("broken") else ""
    return f"rows: {', '.join(counts) or 'the same, taken otherwise'}; {rows['kept']:,} kept{broken}"
