"""A saved plan is held against what would be planned now, and whatever moved is named."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from planner import planfile
from planner.plan import Plan, StateVersion
from planner.staleness import beside, bound, moved

RECIPE = """\
[raw.data]
source = "data.txt"
[raw.other]
source = "other.txt"
[thing.base]
base = ["raw.data"]
[thing.top]
base = ["thing.base"]
[thing.aside]
base = ["raw.other"]
"""
BECAUSE = "because its record or that of an input was changed."


@pytest.fixture
def finished(workshop: Any) -> Any:
    workshop.write(RECIPE, **{"data.txt": "one", "other.txt": "one"})
    assert workshop.apply().failure is None
    edit(workshop, "[thing.top]", '[thing.top]\ncolour = "blue"')
    return workshop


def edit(workshop: Any, old: str, new: str) -> None:
    path = workshop.folder / "recipe.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def saved(workshop: Any) -> Plan:
    """The plan as it comes back from a file."""
    return planfile.loads(planfile.dumps(workshop.plan(), "recipe.toml"), "p")


def test_where_nothing_has_moved_nothing_is_named(finished: Any) -> None:
    assert [step.address for step in saved(finished).changes] == ["thing.top"]
    assert moved(saved(finished), finished.plan()) == ()


def test_a_changed_field_is_named_with_both_values(finished: Any) -> None:
    plan = saved(finished)
    edit(finished, '"blue"', '"green"\nsteps = 5')
    assert moved(plan, finished.plan()) == (
        'The recipe: thing.top.colour was "blue" and is "green".',
        "The recipe: thing.top.steps was 4 and is 5.",
    )


def test_a_field_of_an_input_counts(finished: Any) -> None:
    plan = saved(finished)
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "green"')
    assert moved(plan, finished.plan()) == ('The recipe: thing.base.colour was "red" and is "green".',)


def test_changed_data_is_named(finished: Any) -> None:
    plan = saved(finished)
    (finished.folder / "data.txt").write_text("two")
    assert moved(plan, finished.plan())[0] == "The data: data.txt of raw.data has changed."


def test_what_no_step_depends_on_may_change(finished: Any) -> None:
    plan = saved(finished)
    (finished.folder / "other.txt").write_text("two")
    edit(finished, "[thing.aside]", '[thing.new]\n[thing.aside]\ncolour = "green"')
    current = finished.plan()
    assert moved(plan, current) == ()
    assert beside(plan, current) == ("raw.other", "thing.new", "thing.aside")
    assert finished.apply(bound(plan, current)).done == {
        "raw.data": "reused", "thing.base": "reused", "thing.top": "rebuilt",
    }  # fmt: skip
    assert finished.actions() == {"raw.other": "update", "thing.new": "build", "thing.aside": "rebuild"}


def test_another_input_is_named(finished: Any) -> None:
    plan = saved(finished)
    edit(finished, 'base = ["thing.base"]', 'base = ["thing.base", "raw.other"]')
    assert moved(plan, finished.plan()) == ("The recipe: thing.top is made from other inputs.",)


def test_a_removed_resource_is_named_and_so_is_what_lost_it(finished: Any) -> None:
    plan = saved(finished)
    edit(finished, '[thing.top]\ncolour = "blue"\nbase = ["thing.base"]\n', "")
    finished.apply()
    assert moved(plan, finished.plan()) == ("The recipe or the state: thing.top is no longer there.",)


def test_a_state_in_which_the_work_was_done_already_is_named(finished: Any) -> None:
    plan = saved(finished)
    finished.apply()
    assert moved(plan, finished.plan()) == (
        f"The state: thing.top was to be `rebuild` and would now be `reuse`, {BECAUSE}",
    )


def test_a_checkpoint_that_is_gone_is_named(workshop: Any) -> None:
    workshop.write("[thing.a]\n")
    workshop.build.stop_after = 3
    workshop.apply()
    plan = saved(workshop)
    newest = workshop.state().records["thing.a"].checkpoints[-1]
    (workshop.layout.root / newest.folder / "manifest.json").unlink()
    assert moved(plan, workshop.plan()) == (
        f"The state: thing.a was to be `resume` and would now be `resume`, {BECAUSE}",
    )


def test_another_lineage_is_another_state(finished: Any) -> None:
    plan = saved(finished)
    current = evolve(finished.plan(), state=StateVersion("another", 1, "d"))
    assert moved(plan, current) == ("The state is another one: its lineage differs.",)
    assert moved(plan, evolve(current, state=StateVersion("", 0, ""))) == (
        "The state is another one: its lineage differs.",
    )


def test_a_plan_from_before_there_was_a_state_belongs_to_any(workshop: Any) -> None:
    workshop.write("[thing.a]\n")
    plan = saved(workshop)
    assert plan.state.lineage == ""
    current = evolve(workshop.plan(), state=StateVersion("new", 1, "d"))
    assert moved(plan, current) == ()


def with_settings(plan: Plan, **settings: Any) -> Plan:
    steps = (evolve(one, settings=settings) if one.address == "thing.top" else one for one in plan.steps)
    return evolve(plan, steps=tuple(steps))


@pytest.mark.parametrize(("before", "now"), [(1, True), (1, 1.0), ([1], [True])])
def test_a_value_of_another_type_is_another_value(finished: Any, before: Any, now: Any) -> None:
    plan = finished.plan()
    assert len(moved(with_settings(plan, x=before), with_settings(plan, x=now))) == 1
    assert moved(with_settings(plan, x=before), with_settings(plan, x=before)) == ()


def test_a_plan_that_changes_nothing_is_never_stale(finished: Any) -> None:
    finished.apply()
    plan = saved(finished)
    edit(finished, "[thing.aside]", "[thing.new]\n[thing.aside]")
    assert moved(plan, finished.plan()) == ()
    assert bound(plan, finished.plan()).steps == ()


def test_an_input_with_another_output_is_named(finished: Any) -> None:
    plan = saved(finished)
    state = finished.state()
    base = evolve(state.records["thing.base"], output_digest="another")
    changed = finished.plan(evolve(state, records={**state.records, "thing.base": base}))
    assert moved(plan, changed) == ("The state: thing.base, from which thing.top is made, has another output.",)
