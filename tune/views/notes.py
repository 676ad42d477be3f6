"""What a plan tells beside its reasons: settings that rows told, and how rows differ from those of before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from planner.plan import Step
from tune.views.words import value


def notes(step: Step) -> Iterator[str]:
    """A step's notes, each in one line; those that this version does not know are left out."""
    detected = step.notes.get("detected")
    if isinstance(detected, Mapping):
        yield ", ".join(f"{name} = {value(one)}" for name, one in detected.items()) + " (told from the first rows)"
    rows = step.notes.get("rows")
    if isinstance(rows, Mapping):
        yield _rows(cast("Mapping[str, int]", rows))


def _rows(rows: Mapping[str, int]) -> str:
    if "added" not in rows:
        return f"rows: {rows['before']:,} before, too many to compare for a plan"
    counts = [f"{rows[name]:,} {name}" for name in ("added", "removed", "changed") if rows[name]]
    return f"rows: {', '.join(counts) or 'the same, taken otherwise'}; {rows['kept']:,} kept"
