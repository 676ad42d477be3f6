"""`--target`, `--exclude`, `--replace`: part of a plan, with what it leaves out named; and made anew on request."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from planner import planfile
from planner.plan import Plan, Selection
from planner.reason import AskedFor, FieldChanged
from planner.selection import narrowed
from planner.staleness import moved
from state.diagnostic import Diagnostic, ProblemError
from state.lookup import Found
from tests.fake_kinds import Workshop
from tune.views.state import print_record

RECIPE = """\
[raw.data]
source = "data.txt"
[thing.base]
base = ["raw.data"]
[thing.left]
base = ["thing.base"]
[thing.right]
base = ["thing.base"]
colour = "green"
"""


@pytest.fixture
def fresh(workshop: Workshop) -> Workshop:
    workshop.write(RECIPE, **{"data.txt": "one"})
    return workshop


@pytest.fixture
def finished(fresh: Workshop) -> Workshop:
    assert fresh.apply().failure is None
    return fresh


def chosen(plan: Plan) -> dict[str, str]:
    return {step.address: step.action.value for step in plan.changes}


def test_a_target_comes_with_its_inputs(fresh: Workshop) -> None:
    plan = fresh.plan(selection=Selection(target=("thing.left",)))
    assert chosen(plan) == {"raw.data": "build", "thing.base": "build", "thing.left": "build"}
    assert plan.left_out == ("thing.right",)
    assert set(fresh.apply(plan).done) == {"raw.data", "thing.base", "thing.left"}
    assert fresh.actions() == {"thing.right": "build"}


MATRIX = "[thing.many]\n[thing.many.matrix]\nsteps = [3, 5]\n"
MANY = ("thing.many[steps=3]", "thing.many[steps=5]")


def test_the_name_of_a_matrix_stands_for_all_its_members(workshop: Workshop) -> None:
    workshop.write(f"[thing.one]\n{MATRIX}")
    assert tuple(chosen(workshop.plan(selection=Selection(target=("thing.many",))))) == MANY
    assert tuple(chosen(workshop.plan(selection=Selection(exclude=("thing.many",))))) == ("thing.one",)
    assert workshop.apply().failure is None
    assert tuple(chosen(workshop.plan(selection=Selection(replace=("thing.many",))))) == MANY


def test_what_was_made_before_there_was_a_matrix_is_meant_too(workshop: Workshop) -> None:
    workshop.write("[thing.many]\n")
    workshop.apply()
    workshop.write(MATRIX)
    plan = workshop.plan(selection=Selection(target=("thing.many",)))
    assert chosen(plan) == {**dict.fromkeys(MANY, "build"), "thing.many": "forget"}


@pytest.mark.parametrize("made", [True, False])
def test_what_is_derived_for_excluded_steps_alone_is_left_out_with_them(fresh: Workshop, *, made: bool) -> None:
    if made:
        fresh.apply()
        fresh.write("[thing.new]\n")  # all others are forgotten
    plan, records = fresh.plan(), fresh.state().records
    needed = narrowed(plan, Selection(exclude=("thing.left", "thing.right")), records, {"raw"})
    assert needed.left_out == ("thing.left", "thing.right")
    assert "raw.data" in narrowed(plan, Selection(exclude=("thing.base",)), records, {"raw"}).left_out
    kept = narrowed(plan, Selection(target=("raw.data",), exclude=("thing.base",)), records, {"raw"})
    assert tuple(chosen(kept)) == ("raw.data",)


@pytest.mark.parametrize(
    ("target", "exclude", "detail"),
    [
        ("thing.left", "thing.left", "`--target thing.left` asks for what `--exclude thing.left` leaves out."),
        (
            "thing.left",
            "raw.data",
            "`--target thing.left` asks for what `--exclude raw.data` leaves out: thing.left is made from it.",
        ),
    ],
)
def test_a_target_cannot_be_left_out(fresh: Workshop, target: str, exclude: str, detail: str) -> None:
    with pytest.raises(ProblemError) as caught:
        fresh.plan(selection=Selection(target=(target,), exclude=(exclude,)))
    assert caught.value.diagnostics == (Diagnostic("Invalid usage", detail, "Give only one of both."),)


def test_what_is_excluded_takes_along_what_is_made_from_it(fresh: Workshop) -> None:
    plan = fresh.plan(selection=Selection(exclude=("thing.base",)))
    assert (chosen(plan), plan.left_out) == ({"raw.data": "build"}, ("thing.base", "thing.left", "thing.right"))
    fresh.apply(plan)
    assert fresh.build.built == []


def test_targets_without_what_is_excluded(fresh: Workshop) -> None:
    plan = fresh.plan(selection=Selection(target=("thing.left",), exclude=("thing.right",)))
    assert set(chosen(plan)) == {"raw.data", "thing.base", "thing.left"}
    assert plan.left_out == ("thing.right",)


def test_what_left_the_recipe_is_forgotten_only_if_it_is_selected(finished: Workshop) -> None:
    finished.write(RECIPE.replace("thing.right", "thing.third"))
    plan = finished.plan(selection=Selection(target=("thing.left",)))
    assert (chosen(plan), plan.left_out) == ({}, ("thing.third", "thing.right"))
    assert chosen(finished.plan(selection=Selection(target=("thing.right",)))) == {"thing.right": "forget"}
    assert chosen(finished.plan(selection=Selection(exclude=("thing.right",)))) == {"thing.third": "adopt"}


def test_a_move_that_is_not_selected_is_not_made(finished: Workshop) -> None:
    finished.write(
        RECIPE.replace("thing.right", "thing.third").replace("[thing.left]", '[thing.left]\nnote = "new"')
        + '[[moved]]\nfrom = "thing.right"\nto = "thing.third"\n'
    )
    finished.apply(finished.plan(selection=Selection(target=("thing.left",))))
    assert set(finished.state().records) == {"raw.data", "thing.base", "thing.left", "thing.right"}
    assert finished.actions() == {"thing.third": "move"}


def test_what_is_asked_for_is_made_anew_though_nothing_changed(finished: Workshop) -> None:
    before = finished.state().records["thing.base"]
    plan = finished.plan(selection=Selection(replace=("thing.base",)))
    assert chosen(plan) == {"thing.base": "rebuild", "thing.left": "rebuild", "thing.right": "rebuild"}
    first, left, right = plan.changes
    assert (first.reasons, first.conditional, left.conditional, right.conditional) == ((AskedFor(),), False, True, True)
    done = finished.apply(plan).done
    assert dict(done) == {
        "raw.data": "reused",
        "thing.base": "rebuilt",
        "thing.left": "reused",
        "thing.right": "reused",
    }
    assert finished.build.built == ["thing.base"]
    after = finished.state().records["thing.base"]
    assert after.output_digest == before.output_digest
    assert after.artifact != before.artifact
    assert (finished.layout.root / before.artifact / "manifest.json").exists()
    assert finished.actions() == {}


def test_it_can_be_asked_for_again_and_again(finished: Workshop) -> None:
    for _ in range(3):
        finished.apply(finished.plan(selection=Selection(replace=("thing.left",))))
        assert finished.build.built == ["thing.left"]
    assert finished.actions() == {}


def test_an_interrupted_replacement_is_resumed_without_asking_again(finished: Workshop) -> None:
    finished.build.stop_after = 2
    assert finished.apply(finished.plan(selection=Selection(replace=("thing.left",)))).interrupted
    finished.build.stop_after = 0
    assert finished.actions() == {"thing.left": "resume"}
    assert dict(finished.apply().done)["thing.left"] == "resumed"
    assert finished.actions() == {}


def test_the_state_shows_what_was_protected_and_made_anew(finished: Workshop) -> None:
    finished.write(RECIPE.replace("[thing.base]", "[thing.base]\nlifecycle = {protect = true}"))
    finished.apply()
    finished.apply(finished.plan(selection=Selection(replace=("thing.left",))))
    finished.apply(finished.plan(selection=Selection(replace=("thing.left",))))
    state = finished.state()
    out = Console(file=StringIO(), width=100)
    for address in ("thing.base", "thing.left"):
        print_record(out, Found(address, state.records[address], 0), state)
    shown = [line.strip() for line in out.file.getvalue().splitlines()]  # type: ignore[attr-defined]  # a StringIO
    assert "protected     no plan may rebuild or forget it" in shown
    assert "made anew     2 times, asked for with --replace" in shown


def test_an_edit_and_a_request_are_both_told(finished: Workshop) -> None:
    finished.write(RECIPE.replace("[thing.left]", '[thing.left]\ncolour = "blue"'))
    (step,) = finished.plan(selection=Selection(replace=("thing.left",))).changes
    assert [type(one) for one in step.reasons] == [AskedFor, FieldChanged]


def test_a_saved_plan_keeps_its_selection(fresh: Workshop) -> None:
    selection = Selection(("thing.left",), ("thing.right",), ("thing.left",))
    plan = fresh.plan(selection=selection)
    saved = planfile.loads(planfile.dumps(plan, "recipe.toml"), "p")
    assert (saved.selection, saved.left_out) == (selection, ("thing.right",))
    assert moved(saved, fresh.plan(selection=saved.selection)) == ()


def test_what_is_in_neither_recipe_nor_state_cannot_be_selected(finished: Workshop) -> None:
    with pytest.raises(ProblemError) as caught:
        finished.plan(selection=Selection(("thing.lef",), ("x",), ("raw.data", "thing.nothing")))
    where = "in the recipe or the state"
    known = "raw.data, thing.base, thing.left, thing.right"
    assert caught.value.diagnostics == (
        Diagnostic("Unknown address", f"There is no `thing.nothing` {where}.", "Did you mean `thing.right`?"),
        Diagnostic("Unknown address", f"There is no `thing.lef` {where}.", "Did you mean `thing.left`?"),
        Diagnostic("Unknown address", f"There is no `x` {where}.", f"Known: {known}."),
        Diagnostic(
            "Nothing to rebuild",
            "raw.data is only recorded: there is nothing to make anew.",
            "Name what is made from it.",
        ),
    )
