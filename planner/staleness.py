"""Does a saved plan still say what would be planned now? If not: what moved, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from planner.desired import flatten, same
from planner.plan import Plan, Step
from state.wording import show


def moved(saved: Plan, current: Plan) -> tuple[str, ...]:
    """What has moved of all that a changing step of the saved plan depends on, each as a sentence; empty if nothing."""
    if saved.state.lineage != current.state.lineage and saved.state.lineage:
        return ("The state is another one: its lineage differs.",)
    now = {step.address: step for step in current.steps}
    return tuple(one for step in _touched(saved) for one in _compare(step, now.get(step.address)))


def bound(saved: Plan, current: Plan) -> Plan:
    """The steps of a saved plan that change something, with all that they are made from, on the state as it is now.

    Others may have been edited since: they are not looked at, for the plan says nothing of them.
    """
    return evolve(saved, state=current.state, steps=_touched(saved))


def beside(saved: Plan, current: Plan) -> tuple[str, ...]:
    """What would have to be done now too, of which a saved plan says nothing."""
    planned = {step.address for step in saved.changes}
    return tuple(step.address for step in current.changes if step.address not in planned)


def _touched(plan: Plan) -> tuple[Step, ...]:
    addresses = _with_inputs([step.address for step in plan.changes], {step.address: step for step in plan.steps})
    return tuple(step for step in plan.steps if step.address in addresses)


def _with_inputs(addresses: list[str], steps: Mapping[str, Step]) -> set[str]:
    """The addresses and everything that they are made from."""
    complete: set[str] = set()
    waiting = list(addresses)
    while waiting:
        address = waiting.pop()
        if address in complete or address not in steps:
            continue
        complete.add(address)
        waiting += [one.source.address for group in steps[address].inputs.values() for one in group]
    return complete


def _compare(saved: Step, current: Step | None) -> Iterator[str]:
    if current is None:
        yield f"The recipe or the state: {saved.address} is no longer there."
        return
    known = [*_recipe(saved, current), *_data(saved, current)]
    known = known or list(_outputs(saved, current))
    yield from known
    if not known and (saved.action, saved.resume_from) != (current.action, current.resume_from):
        yield (
            f"The state: {saved.address} was to be `{saved.action}` and would now be `{current.action}`, "
            "because its record or that of an input was changed."
        )


def _recipe(saved: Step, current: Step) -> Iterator[str]:
    before, now = flatten(saved.settings), flatten(current.settings)
    for path in sorted(before.keys() | now.keys()):
        if not same(before.get(path), now.get(path)):
            yield f"The recipe: {saved.address}.{path} was {show(before.get(path))} and is {show(now.get(path))}."
    sources = {name: [one.source for one in group] for name, group in saved.inputs.items()}
    if sources != {name: [one.source for one in group] for name, group in current.inputs.items()}:
        yield f"The recipe: {saved.address} is made from other inputs."


def _outputs(saved: Step, current: Step) -> Iterator[str]:
    """Inputs that were known when the plan was made, and have another output now."""
    for name, group in saved.inputs.items():
        for before, now in zip(group, current.inputs.get(name, ()), strict=False):
            if before.digest is not None and now.digest is not None and before.digest != now.digest:
                yield f"The state: {before.source.address}, from which {saved.address} is made, has another output."


def _data(saved: Step, current: Step) -> Iterator[str]:
    for name in sorted(saved.content.keys() | current.content.keys()):
        if saved.content.get(name) != current.content.get(name):
            yield f"The data: {name} of {saved.address} has changed."
