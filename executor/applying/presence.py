"""What the steps of a plan are made from and this machine lacks, found before the first of them is begun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from executor.applying.means import Means
from planner.desired import Desired
from planner.diff import WORKS, Action
from planner.plan import Plan, Step
from state.diagnostic import Diagnostic

_STAYS = (Action.REUSE, Action.UPDATE)
"""What leaves an artifact where it lies."""


def absent(plan: Plan, desired: Mapping[str, Desired], means: Means) -> Iterator[Diagnostic]:
    """Inputs that are not to be had here, of steps that are certain to need them.

    Conditional steps may turn out to need nothing: what they lack is told when that is known.
    """
    staying = {step.address for step in plan.steps if step.action in _STAYS}
    for step in plan.steps:
        if step.action in WORKS and not step.conditional and desired[step.address].builds:
            yield from _unread(step, desired)
            for address in _made_from(step) & staying:
                if (found := means.shelf.missing(address, means.writer.state.records[address])) is not None:
                    yield found


def _unread(step: Step, desired: Mapping[str, Desired]) -> Iterator[Diagnostic]:
    """What the plan assumes to be unchanged because it cannot be read here."""
    read = [one for one in sorted(_made_from(step)) if not desired[one].builds]
    for address in (step.address, *read):
        if desired[address].assumed:
            detail = f"{step.address} has to be made, and {address} cannot be read on this machine."
            yield Diagnostic("Assumption", detail, "Bring what it names here, or apply where it is.")


def _made_from(step: Step) -> set[str]:
    return {one.source.address for group in step.inputs.values() for one in group}
