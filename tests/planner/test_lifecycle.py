"""Plan, apply, edit, crash, resume: the whole life of a resource, on a fake kind, in milliseconds."""

from __future__ import annotations

from typing import Any

import pytest

from executor.applying.apply import GateFailedError
from planner.plan import Step
from planner.reason import FieldChanged, GateFailed, InputChanged, MadeBefore, ScheduleDiffers
from state.diagnostic import ProblemError
from state.record import Status
from tests.fake_kinds import RECIPE


def step(workshop: Any, address: str) -> Step:
    found: Step = next(one for one in workshop.plan().steps if one.address == address)
    return found


def edit(workshop: Any, old: str, new: str) -> None:
    path = workshop.folder / "recipe.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_everything_is_built_once_and_then_nothing(workshop: Any) -> None:
    workshop.write(RECIPE, **{"data.txt": "one"})
    assert workshop.actions() == {"raw.data": "build", "thing.base": "build", "thing.top": "build"}
    result = workshop.apply()
    assert dict(result.done) == {"raw.data": "recorded", "thing.base": "built", "thing.top": "built"}
    assert workshop.actions() == {}
    assert workshop.build.built == ["thing.base", "thing.top"]


def test_an_edit_rebuilds_what_depends_on_it_and_says_why(finished: Any) -> None:
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    assert finished.actions() == {"thing.base": "rebuild", "thing.top": "rebuild"}
    changed = step(finished, "thing.base").reasons
    assert [(one.field, one.before, one.after) for one in changed if isinstance(one, FieldChanged)] == [
        ("colour", "red", "blue")
    ]
    above = step(finished, "thing.top")
    assert above.conditional
    assert above.reasons == (InputChanged("base", "thing.base", certain=False, because=changed),)
    assert dict(finished.apply().done) == {"raw.data": "reused", "thing.base": "rebuilt", "thing.top": "rebuilt"}


def test_undoing_an_edit_computes_nothing(finished: Any) -> None:
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    finished.apply()
    edit(finished, '[thing.base]\ncolour = "blue"', "[thing.base]")
    assert finished.actions() == {"thing.base": "adopt", "thing.top": "adopt"}
    assert step(finished, "thing.base").reasons == (MadeBefore("thing.base"),)
    finished.apply()
    assert finished.build.built == []
    assert finished.actions() == {}


def test_an_input_that_comes_out_the_same_stops_the_work_there(finished: Any) -> None:
    (finished.folder / "data.txt").write_text("two")
    assert finished.actions() == {"raw.data": "update", "thing.base": "rebuild", "thing.top": "rebuild"}
    plan = finished.plan()
    result = finished.apply(plan)
    assert dict(result.done) == {"raw.data": "recorded", "thing.base": "rebuilt", "thing.top": "reused"}
    last = {step.address: step.estimate.get("seconds", 0.0) for step in plan.steps}
    assert dict(result.spared) == {"thing.top": last["thing.top"]}
    assert finished.actions() == {}


def test_renaming_an_input_rebuilds_nothing(finished: Any) -> None:
    edit(finished, "raw.data", "raw.rows")
    assert finished.actions() == {"raw.rows": "build", "raw.data": "forget"}
    assert finished.apply().failure is None
    assert finished.build.built == []
    assert finished.actions() == {}


def test_renaming_what_was_built_adopts_it(finished: Any) -> None:
    edit(finished, "thing.base", "thing.ground")
    assert finished.actions() == {"thing.ground": "adopt", "thing.base": "forget"}
    finished.apply()
    assert finished.build.built == []
    assert finished.actions() == {}


@pytest.mark.parametrize("field", ['note = "hello"', "pace = 9"])
def test_notes_and_pace_are_only_recorded(finished: Any, field: str) -> None:
    edit(finished, "[thing.base]", f"[thing.base]\n{field}")
    assert finished.actions() == {"thing.base": "update"}
    finished.apply()
    assert finished.build.built == []
    assert finished.actions() == {}


@pytest.mark.parametrize("field", ['colour = "red"', "steps = 4", "# a comment", "decay = false"])
def test_a_default_written_out_or_a_comment_changes_nothing(finished: Any, field: str) -> None:
    edit(finished, "[thing.base]", f"[thing.base]\n{field}")
    assert finished.actions() == {}


def test_more_steps_extend_from_the_last_checkpoint(finished: Any) -> None:
    edit(finished, "[thing.base]", "[thing.base]\nsteps = 6")
    extended = step(finished, "thing.base")
    assert (extended.action.value, extended.resume_from and extended.resume_from.step) == ("extend", 4)
    finished.apply()
    assert [one.step for one in finished.state().records["thing.base"].checkpoints] == [1, 2, 3, 4, 5, 6]


def test_fewer_steps_take_an_earlier_checkpoint(finished: Any) -> None:
    edit(finished, "[thing.base]", "[thing.base]\nsteps = 2")
    shortened = step(finished, "thing.base")
    assert (shortened.action.value, shortened.resume_from and shortened.resume_from.step) == ("extend", 2)


def test_a_decaying_schedule_cannot_be_extended_and_says_where_it_differs(workshop: Any) -> None:
    workshop.write("[thing.a]\ndecay = true\n")
    workshop.apply()
    edit(workshop, "decay = true", "decay = true\nsteps = 8")
    refused = step(workshop, "thing.a")
    assert refused.action.value == "rebuild"
    assert ScheduleDiffers(2, 0.75, 0.875) in refused.reasons


def test_an_interrupted_step_is_resumed_from_its_newest_checkpoint(workshop: Any) -> None:
    workshop.write("[thing.a]\n")
    workshop.build.stop_after = 3
    assert workshop.apply().interrupted
    assert workshop.state().records["thing.a"].status is Status.INTERRUPTED
    resumed = step(workshop, "thing.a")
    assert (resumed.action.value, resumed.resume_from and resumed.resume_from.step) == ("resume", 3)
    workshop.build.stop_after = 0
    assert dict(workshop.apply().done) == {"thing.a": "resumed"}
    assert workshop.actions() == {}


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs, not even an except clause of ours."""


def test_a_killed_step_is_resumed_from_the_journal(workshop: Any) -> None:
    workshop.write("[thing.a]\n")
    workshop.build.stop_after, workshop.build.crash = 2, Killed()
    with pytest.raises(Killed):
        workshop.apply()
    assert not workshop.store.load().records
    resumed = step(workshop, "thing.a")
    assert (resumed.action.value, resumed.resume_from and resumed.resume_from.step) == ("resume", 2)
    workshop.build.stop_after = 0
    workshop.apply()
    assert workshop.actions() == {}


def test_an_interrupted_edit_that_is_undone_costs_nothing(finished: Any) -> None:
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    finished.build.stop_after = 1
    finished.apply()
    edit(finished, '[thing.base]\ncolour = "blue"', "[thing.base]")
    assert finished.actions() == {"thing.base": "adopt"}


def test_an_interrupted_edit_that_is_made_again_goes_on_where_it_was(finished: Any) -> None:
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    finished.build.stop_after = 2
    finished.apply()
    begun = finished.state().records["thing.base"].checkpoints
    edit(finished, '[thing.base]\ncolour = "blue"', "[thing.base]")
    finished.build.stop_after = 0
    finished.apply()
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    resumed = step(finished, "thing.base")
    assert (resumed.action.value, resumed.resume_from) == ("resume", begun[-1])
    finished.apply()
    checkpoints = finished.state().records["thing.base"].checkpoints
    assert checkpoints[:2] == begun
    assert [one.step for one in checkpoints] == [1, 2, 3, 4]


def test_a_checkpoint_without_a_manifest_is_no_candidate(workshop: Any) -> None:
    workshop.write("[thing.a]\n")
    workshop.build.stop_after = 3
    workshop.apply()
    newest = workshop.state().records["thing.a"].checkpoints[-1]
    (workshop.layout.root / newest.folder / "manifest.json").unlink()
    resumed = step(workshop, "thing.a").resume_from
    assert resumed is not None
    assert resumed.step == 2


def test_a_failed_gate_is_reported_until_it_passes_and_never_measured_again(workshop: Any) -> None:
    workshop.write("[thing.a]\nlowest = 1000\n")
    failure = workshop.apply().failure
    assert failure is not None
    assert failure.diagnostics[0].summary == "Gate failed"
    assert step(workshop, "thing.a").reasons == (GateFailed("too low"),)
    assert workshop.apply().failure is not None
    assert workshop.build.built == []
    edit(workshop, "1000", "1")
    assert workshop.apply().failure is None
    assert workshop.build.built == []
    assert workshop.actions() == {}


def test_a_failed_gate_stops_only_what_depends_on_it(workshop: Any) -> None:
    workshop.write("[thing.a]\nlowest = 1000\n[thing.b]\nbase = ['thing.a']\n[thing.c]\n")
    result = workshop.apply()
    assert isinstance(result.failure, GateFailedError)
    assert workshop.state().records["thing.a"].status is Status.FAILED
    assert set(workshop.state().records) == {"thing.a", "thing.c"}


def test_what_was_measured_before_stays_with_the_record(workshop: Any) -> None:
    workshop.write("[thing.a]\nlowest = 1\n")
    workshop.apply()
    first = workshop.state().records["thing.a"]
    edit(workshop, "lowest = 1", 'lowest = 1000\ncolour = "blue"')
    assert workshop.apply().failure is not None
    edit(workshop, '"blue"', '"green"')
    assert workshop.apply().failure is not None
    earlier = workshop.state().records["thing.a"].earlier
    assert [one.status for one in earlier] == [Status.READY, Status.FAILED]
    assert earlier[0].metrics == first.metrics
    assert earlier[0].output_digest == first.output_digest


def test_a_missing_artifact_is_made_again_from_its_last_checkpoint(finished: Any) -> None:
    record = finished.state().records["thing.top"]
    (finished.layout.root / record.artifact / "out").unlink()
    assert finished.actions() == {"thing.top": "resume"}
    for checkpoint in record.checkpoints:
        (finished.layout.root / checkpoint.folder / "manifest.json").unlink()
    assert finished.actions() == {"thing.top": "rebuild"}
    finished.apply()
    assert finished.actions() == {}


def test_a_failed_step_is_recorded_and_tried_again(workshop: Any) -> None:
    workshop.write("[thing.a]\n")
    workshop.build.stop_after = 2
    from state.diagnostic import problem

    workshop.build.crash = problem("Disk full", "no space")
    failure = workshop.apply().failure
    assert failure is not None
    assert workshop.state().records["thing.a"].status is Status.FAILED
    assert step(workshop, "thing.a").action.value == "resume"


def test_a_plan_is_refused_when_the_state_has_moved(finished: Any) -> None:
    edit(finished, "[thing.base]", "[thing.base]\npace = 2")
    plan = finished.plan()
    finished.apply()
    with pytest.raises(ProblemError) as caught:
        finished.apply(plan)
    assert caught.value.diagnostics[0].summary == "State has moved"
