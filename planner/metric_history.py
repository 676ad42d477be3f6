"""What was measured before where it is to be measured again: the context in which a reviewer reads a plan."""

from __future__ import annotations

from collections.abc import Mapping

from planner.diff import WORKS
from planner.plan import Plan
from state.canonical import Plain
from state.record import Record, State

MOST = 5
"""Earlier results of one address that are told, the newest first."""


def earlier_metrics(plan: Plan, state: State, kind: str) -> dict[str, tuple[tuple[str, Mapping[str, Plain]], ...]]:
    """For each step of a kind that works, by address: when results that state still has were finished, and metrics."""
    again = [step for step in plan.steps if step.kind == kind and step.action in WORKS]
    wanted = {step.moved_from or step.address: step.address for step in again}
    found: dict[str, list[Record]] = {step.address: [] for step in again}
    if not again:
        return {}
    for old, new in wanted.items():
        if old in state.records:
            found[new].append(state.records[old])
    for one in state.superseded.values():
        if one.address in wanted:
            found[wanted[one.address]].append(one.record)
    return {address: told for address, records in found.items() if (told := _told(records))}


def _told(records: list[Record]) -> tuple[tuple[str, Mapping[str, Plain]], ...]:
    measured = [(one.provenance.finished, one.metrics) for one in records if one.metrics]
    return tuple(sorted(measured, key=lambda one: one[0], reverse=True)[:MOST])
