"""A run of another length that goes on although its learning rates were others: only if accepted, never forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from planner.plan import Step
from planner.reason import NoLongerAccepted, NotEquivalent, OtherLength, ScheduleDiffers
from planner.resume import Continuation, continuation
from planner.schedule import Schedule
from state.change import put
from state.record import Checkpoint, Record, Splice

ACCEPTING = '[thing.a]\ndecay = true\non_length_change = "continue"\n'


def step(workshop: Any) -> Step:
    found: Step
    (found,) = workshop.plan().steps
    return found


def record(workshop: Any) -> Record:
    found: Record = workshop.state().records["thing.a"]
    return found


@pytest.fixture
def spliced(workshop: Any) -> Any:
    """Eight steps of a decay, of which the first four were those of a decay over four."""
    workshop.write(ACCEPTING)
    workshop.apply()
    workshop.write(f"{ACCEPTING}steps = 8\n")
    return workshop


def test_what_is_accepted_is_planned_in_words_and_kept(spliced: Any) -> None:
    plan = spliced.plan()
    (planned,) = plan.steps
    assert planned.action.value == "extend"
    assert planned.reasons[1:] == (OtherLength(4, 8), NotEquivalent(4, 2, 0.75, 0.875))
    checkpoint = record(spliced).checkpoints[-1]
    assert dict(spliced.apply(plan).done) == {"thing.a": "extended"}
    assert record(spliced).splices == (Splice(4, checkpoint.digest, 2, 0.75, 0.875),)
    assert [one.step for one in record(spliced).checkpoints] == list(range(1, 9))
    assert spliced.actions() == {}


def test_it_has_another_identity_than_a_run_from_scratch(spliced: Any, make_workshop: Any, tmp_path: Any) -> None:
    spliced.apply()
    (tmp_path / "scratch").mkdir()
    scratch = make_workshop(tmp_path / "scratch")
    scratch.write(f"{ACCEPTING}steps = 8\n")
    scratch.apply()
    assert record(scratch).splices == ()
    assert record(scratch).action_key != record(spliced).action_key


def test_without_it_the_run_is_made_anew(spliced: Any) -> None:
    spliced.write("[thing.a]\ndecay = true\nsteps = 8\n")
    assert step(spliced).action.value == "rebuild"
    assert ScheduleDiffers(2, 0.75, 0.875) in step(spliced).reasons


def test_what_is_no_longer_accepted_is_made_anew(spliced: Any) -> None:
    spliced.apply()
    spliced.write("[thing.a]\ndecay = true\nsteps = 8\n")
    assert step(spliced).action.value == "rebuild"
    assert NoLongerAccepted(4) in step(spliced).reasons
    assert dict(spliced.apply().done) == {"thing.a": "rebuilt"}
    assert record(spliced).splices == ()
    assert spliced.actions() == {}


def test_an_interrupted_splice_is_resumed_and_stays_one(spliced: Any) -> None:
    spliced.build.stop_after = 6
    assert spliced.apply().interrupted
    key = record(spliced).action_key
    assert (step(spliced).action.value, step(spliced).resume_from) == ("resume", record(spliced).checkpoints[-1])
    spliced.build.stop_after = 0
    spliced.apply()
    assert [one.step for one in record(spliced).splices] == [4]
    assert record(spliced).action_key == key


def test_notes_change_nothing_about_it(spliced: Any) -> None:
    spliced.apply()
    before = record(spliced)
    spliced.write(f'{ACCEPTING}steps = 8\nnote = "hello"\n')
    assert spliced.actions() == {"thing.a": "update"}
    spliced.apply()
    assert (record(spliced).splices, record(spliced).action_key) == (before.splices, before.action_key)
    assert spliced.actions() == {}


def test_every_splice_is_kept(spliced: Any) -> None:
    spliced.apply()
    spliced.write(f"{ACCEPTING}steps = 12\n")
    spliced.apply()
    assert [one.step for one in record(spliced).splices] == [4, 8]
    assert spliced.actions() == {}


def test_a_shorter_run_takes_the_newest_checkpoint_within_it(spliced: Any) -> None:
    spliced.write(f"{ACCEPTING}steps = 3\n")
    assert step(spliced).reasons[1:] == (OtherLength(4, 3), NotEquivalent(3, 2, 0.75, 2 / 3))


@pytest.mark.parametrize(
    ("recipe", "seconds"),
    [
        (f"{ACCEPTING}steps = 8\n", 40.0),
        (f"{ACCEPTING}steps = 5\n", 10.0),
        (f"{ACCEPTING}steps = 3\n", 0.0),
        ("[thing.a]\ndecay = true\nsteps = 8\n", 80.0),
        (f'{ACCEPTING}colour = "blue"\n', 40.0),
    ],
)
def test_the_last_run_tells_how_long_the_steps_take_that_are_left(spliced: Any, recipe: str, seconds: float) -> None:
    made = record(spliced)
    state = put(spliced.state(), "thing.a", evolve(made, provenance=evolve(made.provenance, seconds=40.0)))
    spliced.write(recipe)
    (planned,) = spliced.plan(state).steps
    assert planned.estimate["seconds"] == seconds


def test_a_legal_checkpoint_is_preferred() -> None:
    """Within the warm-up both runs are one."""
    before, after = Schedule("linear", 1.0, 4, 6), Schedule("linear", 1.0, 4, 12)
    found = [Checkpoint(one, f"checkpoint-{one}", str(one)) for one in (3, 6)]
    assert continuation(found, before, after, accepted=True) == Continuation(found[0])
    assert continuation(found[1:], before, after, accepted=True).checkpoint == found[1]
