"""Part of a plan on request: `--target`, `--exclude`, `--replace`; what is left out is named."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import evolve

from planner.desired import Desired
from planner.plan import Plan, Selection
from state.diagnostic import Diagnostic, ProblemError
from state.values import frozen
from state.wording import suggestion


@frozen
class _Graph:
    """Who is made from whom."""

    inputs: Mapping[str, frozenset[str]]

    def with_inputs(self, addresses: Iterable[str]) -> set[str]:
        """The addresses and all that they are made from."""
        return _reached(addresses, self.inputs)

    def with_dependants(self, addresses: Iterable[str]) -> set[str]:
        """The addresses and all that is made from them."""
        backwards: dict[str, set[str]] = {}
        for address, inputs in self.inputs.items():
            for one in inputs:
                backwards.setdefault(one, set()).add(address)
        return _reached(addresses, backwards)


_ONLY_RECORDED = "Name what is made from it."


def requested(desired: Sequence[Desired], selection: Selection, recorded: Collection[str]) -> tuple[Desired, ...]:
    """What is desired, with a new generation of what is to be made anew; raises ProblemError for unknown addresses."""
    known = {one.address: one for one in desired}
    wrong = [_unknown(one, known) for one in selection.replace if one not in known]
    wrong += [
        _unknown(one, {*known, *recorded})
        for one in (*selection.target, *selection.exclude)
        if one not in known and one not in recorded
    ]
    wrong += [
        Diagnostic("Nothing to rebuild", f"{one} is only recorded: there is nothing to make anew.", _ONLY_RECORDED)
        for one in selection.replace
        if one in known and not known[one].builds
    ]
    if wrong:
        raise ProblemError(wrong)
    anew = set(selection.replace)
    return tuple(evolve(one, generation=one.generation + 1) if one.address in anew else one for one in desired)


def narrowed(plan: Plan, selection: Selection) -> Plan:
    """The plan of what was asked for, which names the changes that it leaves out.

    A target comes with its inputs, and what is made from something excluded is excluded with it, so that every step
    finds what it needs. Raises ProblemError for a target that is excluded so.
    """
    if not selection.target and not selection.exclude:
        return evolve(plan, selection=selection)
    graph = _Graph(
        {
            step.address: frozenset(one.source.address for group in step.inputs.values() for one in group)
            for step in plan.steps
        }
    )
    excluded = graph.with_dependants(selection.exclude)
    if torn := [one for one in selection.target if one in excluded]:
        raise ProblemError([_torn(one, graph, selection.exclude) for one in torn])
    chosen = graph.with_inputs(selection.target) if selection.target else set(graph.inputs)
    chosen -= excluded
    left_out = tuple(step.address for step in plan.changes if step.address not in chosen)
    steps = tuple(step for step in plan.steps if step.address in chosen)
    return evolve(plan, steps=steps, selection=selection, left_out=left_out)


def _torn(target: str, graph: _Graph, exclude: Iterable[str]) -> Diagnostic:
    """The problem of a target that the same command leaves out."""
    cause = next(one for one in exclude if target in graph.with_dependants([one]))
    made = "" if cause == target else f": {target} is made from it"
    detail = f"`--target {target}` asks for what `--exclude {cause}` leaves out{made}."
    return Diagnostic("Invalid usage", detail, "Give only one of both.")


def _reached(addresses: Iterable[str], edges: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(addresses)
    while waiting:
        address = waiting.pop()
        if address not in found:
            found.add(address)
            waiting += edges.get(address, ())
    return found


def _unknown(address: str, known: Collection[str]) -> Diagnostic:
    hint = suggestion(address, sorted(known)) or f"Known: {', '.join(sorted(known))}."
    return Diagnostic("Unknown address", f"There is no `{address}` in the recipe or the state.", hint)
