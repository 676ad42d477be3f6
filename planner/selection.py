"""Part of a plan on request: `--target`, `--exclude`, `--replace`; what is left out is named."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from attrs import evolve

from planner.desired import Desired
from planner.diff import Action
from planner.plan import Plan, Selection, Step
from state.diagnostic import Diagnostic, ProblemError
from state.record import Record
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
        return _reached(addresses, self.users())

    def users(self) -> dict[str, set[str]]:
        """What is made from each address at once."""
        found: dict[str, set[str]] = {}
        for address, inputs in self.inputs.items():
            for one in inputs:
                found.setdefault(one, set()).add(address)
        return found


def _needs(step: Step, records: Mapping[str, Record], derived: Collection[str]) -> Iterator[str]:
    """What a step is made from; what is forgotten needs nothing, but for what was derived for it alone."""
    if step.action is not Action.FORGET:
        yield from (one.source.address for group in step.inputs.values() for one in group)
    elif step.address in records:
        inputs = (one.address for group in records[step.address].inputs.values() for one in group)
        yield from (one for one in inputs if one.partition(".")[0] in derived)


_ONLY_RECORDED = "Name what is made from it."


def requested(desired: Sequence[Desired], selection: Selection, recorded: Collection[str]) -> tuple[Desired, ...]:
    """What is desired, with a new generation of what is to be made anew; raises ProblemError for unknown addresses."""
    known = {one.address: one for one in desired}
    selection = _spelled_out(selection, {**known, **dict.fromkeys(recorded)})
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


def narrowed(plan: Plan, selection: Selection, records: Mapping[str, Record], derived: Collection[str]) -> Plan:
    """The plan of what was asked for, which names the changes that it leaves out.

    A target comes with its inputs, and what is made from something excluded is excluded with it, so that every step
    finds what it needs; so are tokens, and all of the kinds `derived`, that only excluded steps need. Raises
    ProblemError for a target that is excluded so.
    """
    plan = evolve(plan, selection=selection)
    if not selection.target and not selection.exclude:
        return plan
    selection = _spelled_out(selection, {step.address: None for step in plan.steps})
    graph = _Graph({step.address: frozenset(_needs(step, records, derived)) for step in plan.steps})
    excluded = graph.with_dependants(selection.exclude)
    users = graph.users()
    mine = {step.address for step in plan.steps if step.kind in derived}.difference(selection.target)
    excluded |= {address for address in mine if users.get(address, {""}) <= excluded}
    if torn := [one for one in selection.target if one in excluded]:
        raise ProblemError([_torn(one, graph, selection.exclude) for one in torn])
    chosen = graph.with_inputs(selection.target) if selection.target else set(graph.inputs)
    chosen -= excluded
    left_out = tuple(step.address for step in plan.changes if step.address not in chosen)
    steps = tuple(step for step in plan.steps if step.address in chosen)
    return evolve(plan, steps=steps, left_out=left_out)


def _spelled_out(selection: Selection, addresses: Collection[str]) -> Selection:
    """The selection with the members of a matrix beside its name, or in its place where nothing else is called so."""
    members: dict[str, list[str]] = {}
    for address in addresses:
        table, bracket, _ = address.partition("[")
        if bracket:
            members.setdefault(table, []).append(address)

    def named(asked: Iterable[str]) -> tuple[str, ...]:
        found = (([one] if one in addresses or one not in members else []) + members.get(one, []) for one in asked)
        return tuple(one for group in found for one in group)

    return Selection(named(selection.target), named(selection.exclude), named(selection.replace))


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
