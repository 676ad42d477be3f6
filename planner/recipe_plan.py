"""From a recipe and what was found outside it to the plan: lifecycle, renaming and selection included."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from planner.desired import Desired
from planner.kind import Kinds
from planner.lifecycle import broken_protection, settled
from planner.plan import PLACES, Plan, Selection, Step, make
from planner.policy import exceeded
from planner.reason import FieldChanged
from planner.recipe import Recipe
from planner.renaming import Renamed, explained
from planner.selection import narrowed, requested
from planner.situation import Local
from state.canonical import Plain
from state.diagnostic import Diagnostic, ProblemError, errors
from state.record import State


def resolved(
    recipe: Recipe, desired: Sequence[Desired], state: State, selection: Selection
) -> tuple[tuple[Desired, ...], tuple[Diagnostic, ...]]:
    """What is desired of a state after `lifecycle`, `[[import]]` and the person at hand had their say."""
    imports = {one.address: one.folder for one in recipe.refactoring.imports}
    found: list[Desired] = []
    notes: list[Diagnostic] = []
    for one in desired:
        made, ignored = settled(one, recipe.resources[one.address], state.records.get(one.address))
        found.append(evolve(made, imported=imports[one.address]) if one.address in imports else made)
        notes += ignored
    return requested(found, selection, state.records), tuple(notes)


def make_plan(
    recipe: Recipe, desired: Sequence[Desired], known: Renamed, selection: Selection, kinds: Kinds, local: Local
) -> Plan:
    """The plan for what is `resolved`; raises ProblemError if it would do what the recipe forbids."""
    plan = make(desired, known.state, kinds, local, (recipe.file, recipe))
    # Only kinds that the plan has: asking all of them would load all of them.
    derived = {name for name in {step.kind for step in plan.steps} if name in kinds and not kinds[name].is_written}
    plan = narrowed(explained(plan, known.before, recipe), selection, known.state.records, derived)
    by_address = {one.address: one for one in desired}
    found = [
        *broken_protection(plan, by_address, known.state, recipe, kinds),
        *exceeded(plan, desired, recipe.resources, recipe.limits, known.state.records),
    ]
    if errors(found):
        raise ProblemError(errors(found))
    return evolve(plan, steps=tuple(_placed(one, recipe) for one in plan.steps), diagnostics=tuple(found))


def _placed(step: Step, recipe: Recipe) -> Step:
    """The step with the line of the recipe that caused each of its changed fields."""
    changed = [one.field for one in step.reasons if isinstance(one, FieldChanged)]
    resource = recipe.resources.get(step.address)
    if not changed or resource is None:
        return step
    places = {path: resource.place(path) for path in changed}
    told: dict[str, Plain] = {path: str(evolve(one, column=0)) for path, one in places.items() if one.file}
    return evolve(step, notes={**step.notes, PLACES: told}) if told else step
