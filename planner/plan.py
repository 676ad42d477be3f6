"""The plan: every step with its reasons, made from desired resources and state by pure comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field

from planner.desired import Desired, Given, Inputs
from planner.diff import Action, Change, change
from planner.kind import Kinds
from planner.last_run import last_run
from planner.overrides import Overrides
from planner.reason import NotInRecipe, OtherLength, Reason, told_once
from planner.situation import Local, Situation
from state.canonical import Plain
from state.change import worth_keeping
from state.diagnostic import Diagnostic
from state.record import Checkpoint, Record, Splice, State, Superseded
from state.values import frozen, mutable

PLACES = "places"
"""The note of a step that says where the recipe has each of its changed fields."""


@frozen
class Step:
    """One resource's line in a plan, with everything that apply needs to act on it."""

    address: str
    kind: str
    action: Action
    conditional: bool
    reasons: tuple[Reason, ...]
    resume_from: Checkpoint | None
    settings: Mapping[str, Plain]
    content: Mapping[str, str]
    inputs: Inputs
    code: int
    facts: Mapping[str, Plain]
    estimate: Mapping[str, Plain]
    moved_from: str = ""
    """The address that its record still has in state."""
    notes: Mapping[str, Plain] = field(factory=dict)
    """What is worth telling beside the reasons; decides nothing."""
    splices: tuple[Splice, ...] = ()
    """In what its result is no run from scratch; the reasons say it, and a saved plan says no more."""

    @property
    def shortened_to(self) -> int | None:
        """The length of a run that is to have fewer steps than it has; None for every other."""
        lengths = [one for one in self.reasons if isinstance(one, OtherLength) and one.after < one.before]
        return lengths[0].after if lengths and self.action is Action.EXTEND else None

    @property
    def deed(self) -> str:
        """What it does, in a word for people: a run that goes back to fewer steps is not extended."""
        return self.action.value if self.shortened_to is None else "shorten"


@frozen
class Selection:
    """What was asked for beyond the recipe: which part of the plan, and what is to be made anew; addresses all."""

    target: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()


@frozen
class StateVersion:
    """The state that a plan was made from."""

    lineage: str
    serial: int
    digest: str


class Meaning(Protocol):
    """What a recipe says, in one digest; working it out takes time that a plan which nobody saves can do without."""

    @property
    def digest(self) -> str:
        """Of what the recipe means."""


@frozen
class Plan:
    """What has to be done so that the models match the recipe: an upper bound, applied step by step."""

    recipe: str
    """File name of the recipe, relative to the folder that holds `.tune/`."""
    meaning: Meaning = field(eq=False)
    """What the recipe said when the plan was made."""
    state: StateVersion
    steps: tuple[Step, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    overrides: Overrides = field(factory=Overrides)
    """What was given from outside the recipe, so that a saved plan is applied to the same."""
    selection: Selection = field(factory=Selection)
    left_out: tuple[str, ...] = ()
    """What would have to be done too if the selection did not leave it out."""

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that do anything at all."""
        return tuple(step for step in self.steps if step.action is not Action.REUSE)

    @property
    def recipe_digest(self) -> str:
        """Of what the recipe meant when the plan was made."""
        return self.meaning.digest

    def count(self, action: Action) -> int:
        """How many steps have this action."""
        return sum(step.action is action for step in self.steps)


def make(desired: Sequence[Desired], state: State, kinds: Kinds, local: Local, recipe: tuple[str, Meaning]) -> Plan:
    """The plan that takes a state to what is desired (inputs first); `recipe` is its file name and what it means."""
    planning = Planning(state, kinds, local)
    steps = [planning.step(one) for one in desired]
    wanted = {one.address for one in desired}
    steps += [_forget(address, record) for address, record in sorted(state.records.items()) if address not in wanted]
    version = StateVersion(state.lineage, state.serial, state.digest)
    return Plan(recipe[0], recipe[1], version, tuple(steps))


@mutable
class Planning:
    """Walks the desired resources in order, remembering what each step makes known to the ones after it."""

    state: State
    kinds: Kinds
    local: Local
    kept: Mapping[str, Superseded] = field(init=False)
    """Every record of which something exists, with the address that it has or had, by action key."""
    _digests: dict[tuple[str, str], str] = field(factory=dict, init=False)
    """By address and part."""
    _records: dict[str, Record] = field(factory=dict, init=False)
    _causes: dict[str, tuple[Reason, ...]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        """Index what exists."""
        self.moved_to(self.state)

    def moved_to(self, state: State) -> None:
        """Go on from a state that was written in the meantime."""
        self.state = state
        self.kept = _kept_by_key(state)

    def step(self, desired: Desired) -> Step:
        """The step of one resource, all of whose inputs have had theirs."""
        inputs = {
            name: tuple(Given(one, self._digests.get((one.address, one.part))) for one in sources)
            for name, sources in desired.inputs.items()
        }
        record = self.state.records.get(desired.address)
        situation = Situation(
            kind=self.kinds[desired.kind],
            desired=desired,
            inputs=inputs,
            input_records=self._input_records(desired),
            causes=self._causes,
            record=record,
            kept=self.kept,
            local=self.local,
        )
        found = change(situation)
        self._remember(desired, found)
        return _step(desired, inputs, found, record)

    def made(self, desired: Desired, record: Record) -> None:
        """Tell the steps after this one what it produced, once that is known."""
        self._records[desired.address] = record
        self._digests[desired.address, ""] = record.output_digest
        for part, digest in record.parts.items():
            self._digests[desired.address, part] = digest

    def _input_records(self, desired: Desired) -> dict[str, tuple[Record, ...]]:
        return {
            name: tuple(self._records[one.address] for one in sources if one.address in self._records)
            for name, sources in desired.inputs.items()
        }

    def _remember(self, desired: Desired, found: Change) -> None:
        self._causes[desired.address] = told_once(found.reasons) if found.reasons else ()
        if found.record is not None:
            self.made(desired, found.record)
        for part, digest in desired.known.items():
            self._digests[desired.address, part] = digest


def _kept_by_key(state: State) -> dict[str, Superseded]:
    current = {
        record.action_key: Superseded(address, record)
        for address, record in state.records.items()
        if worth_keeping(record)
    }
    return {**state.superseded, **current}


def _step(desired: Desired, inputs: Inputs, found: Change, record: Record | None) -> Step:
    return Step(
        address=desired.address,
        kind=desired.kind,
        action=found.action,
        conditional=found.conditional,
        reasons=found.reasons,
        resume_from=found.resume_from,
        settings=desired.settings,
        content=desired.content,
        inputs=inputs,
        code=desired.code,
        facts=desired.facts,
        estimate=last_run(found, record),
        notes=desired.notes,
        splices=found.splices,
    )


def _forget(address: str, record: Record) -> Step:
    return Step(
        address=address,
        kind=record.kind,
        action=Action.FORGET,
        conditional=False,
        reasons=(NotInRecipe(),),
        resume_from=None,
        settings=record.settings,
        content=record.content,
        inputs={},
        code=record.code,
        facts=record.facts,
        estimate={},
    )
