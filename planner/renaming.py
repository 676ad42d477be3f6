"""Records under the addresses that the recipe uses now, and the steps of a plan that say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from planner.diff import Action
from planner.plan import Plan, Step
from planner.reason import Moved, Removed
from planner.recipe import Recipe
from planner.refactoring import Move
from state.change import rename
from state.diagnostic import Diagnostic, ProblemError
from state.record import State
from state.values import frozen


@frozen
class Renamed:
    """A state whose records have the addresses that the recipe gives them."""

    state: State
    before: Mapping[str, str]
    """The address that each renamed record still has where state lies, by its new one."""


def renamed(recipe: Recipe, state: State) -> Renamed:
    """The state as the recipe names things; raises ProblemError where two records would have one address."""
    names: dict[str, str] = {}
    wrong = []
    for move in recipe.refactoring.moves:
        end = recipe.refactoring.end(move.before)
        if move.before in state.records:
            if end in state.records or end in names.values():
                wrong.append(_taken(move, end))
            names[move.before] = end
    if wrong:
        raise ProblemError(wrong)
    for before, after in list(names.items()):
        names |= {old: new for old, new in _derived(recipe, before, after) if _free(state, old, new)}
    moved = rename(state, names) if names else state
    return Renamed(moved, {after: before for before, after in names.items()})


def explained(plan: Plan, before: Mapping[str, str], recipe: Recipe) -> Plan:
    """The plan with steps that say what was renamed, and what was removed on purpose."""
    removed = {one.address for one in recipe.refactoring.removals}
    return evolve(plan, steps=tuple(_explained(step, before.get(step.address, ""), removed) for step in plan.steps))


def _explained(step: Step, before: str, removed: set[str]) -> Step:
    if step.action is Action.FORGET and step.address in removed:
        step = evolve(step, reasons=(Removed(),))
    if not before:
        return step
    action = Action.MOVE if step.action is Action.REUSE else step.action
    return evolve(step, action=action, moved_from=before, reasons=(Moved(before), *step.reasons))


def _derived(recipe: Recipe, before: str, after: str) -> Iterator[tuple[str, str]]:
    """What a renamed resource brings along, under both names."""
    resource = recipe.resources.get(after)
    if resource is None:
        return
    derive = resource.kind.derive
    old, new = derive(evolve(resource, address=before), recipe.resources), derive(resource, recipe.resources)
    yield from ((one.address, other.address) for one, other in zip(old, new, strict=True))


def _free(state: State, old: str, new: str) -> bool:
    return old in state.records and new not in state.records


def _taken(move: Move, end: str) -> Diagnostic:
    detail = f"{move.before} is moved to {end}, and the state has both."
    hint = (
        f"Forget the one that is not meant with `tune state rm`, or remove this move: {move.before} is forgotten then."
    )
    return Diagnostic("Address in use", detail, hint, move.place)
