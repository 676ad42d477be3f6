"""A result that is declared good for what the recipe asks for now, by a person and with a reason; nothing is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest

from attrs import evolve

from executor.applying.importing import Surroundings
from executor.applying.local import this_machine
from executor.applying.recording import Recorder
from planner.desired import Desired, action_key
from planner.plan import Planning, Step
from state.diagnostic import problem
from state.record import InputRecord, Record, State
from state.wording import suggestion


def accepted(
    address: str, because: str, desired: Mapping[str, Desired], state: State, surroundings: Surroundings
) -> Record:
    """The record of an address as if what exists had been made from what is desired; raises ProblemError.

    Inputs that it was not made from are marked as not verified. Checkpoints go: their learning rates may not be those
    of the new settings, and a run that went on from one would be neither the old run nor the new one.
    """
    record = _finished(address, desired, state)
    wanted = desired[address]
    planning = Planning(state, surroundings.kinds, this_machine(surroundings.layout))
    steps = {one.address: planning.step(one) for one in desired.values()}
    step = steps[address]
    unmade = next(_unmade(step, record), None)
    if unmade is not None:
        detail = f"{address} is made from {unmade}, which has to be made first."
        raise problem("Input not made", detail, f"`tune apply --exclude {address}` does that.")
    if not step.reasons:
        raise problem("Nothing to accept", f"{address} is what the recipe asks for already.")
    digests = {name: tuple(one.digest or "" for one in group) for name, group in step.inputs.items()}
    key = action_key(wanted, digests, record.splices)
    made = Recorder(surroundings.kinds[wanted.kind], wanted, step, key, surroundings.origin).refreshed(record)
    return evolve(
        made,
        content=wanted.content,
        inputs={name: _doubted(record.inputs.get(name, ()), group) for name, group in made.inputs.items()},
        parts={**record.parts, **wanted.known},
        checkpoints=record.checkpoints if key == record.action_key else (),
        facts={**record.facts, "accepted": because},
    )


def _finished(address: str, desired: Mapping[str, Desired], state: State) -> Record:
    """The record of an address that has a result; raises ProblemError if there is none to accept."""
    if address not in desired:
        hint = suggestion(address, list(desired)) or f"It has {', '.join(desired)}."
        raise problem("Unknown address", f"The recipe has no `{address}`.", hint)
    if not desired[address].builds:
        detail = f"{address} is only recorded: `tune apply` does that without building anything."
        raise problem("Nothing to accept", detail)
    record = state.records.get(address)
    if record is None or not record.output_digest:
        detail = f"The state has no result of {address}."
        raise problem("Nothing to accept", detail, f"Make it with `tune apply --target {address}`.")
    return record


def _unmade(step: Step, record: Record) -> Iterator[str]:
    """Inputs whose digest is not known, but for those that were not known when the result was imported."""
    for field, group in step.inputs.items():
        for given, before in zip_longest(group, record.inputs.get(field, ())[: len(group)]):
            if given.digest is None and (before is None or before.digest or before.verified):
                yield given.source.address


def _doubted(before: tuple[InputRecord, ...], group: tuple[InputRecord, ...]) -> tuple[InputRecord, ...]:
    """The inputs of a field: those that are not what it was made from rest on somebody's word."""
    proved = {one.digest for one in before if one.verified}
    return tuple(evolve(one, verified=one.verified and one.digest in proved) for one in group)
