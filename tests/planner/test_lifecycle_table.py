"""`lifecycle`: protected things are never rebuilt or forgotten by mistake; ignored edits are ignored, and said."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from planner.plan import Selection
from planner.reason import FieldChanged
from planner.recipe import parse
from state.diagnostic import Diagnostic, Place, ProblemError, Severity
from tests.fake_kinds import KINDS, Workshop

RECIPE = """\
[raw.data]
source = "data.txt"
[thing.base]
base = ["raw.data"]
[thing.base.lifecycle]
protect = true
[thing.top]
base = ["thing.base"]
"""


@pytest.fixture
def finished(workshop: Workshop) -> Workshop:
    workshop.write(RECIPE, **{"data.txt": "one"})
    assert workshop.apply().failure is None
    return workshop


def edit(workshop: Workshop, old: str, new: str) -> None:
    path = workshop.folder / "recipe.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def refusals(workshop: Workshop, selection: Selection | None = None) -> tuple[Diagnostic, ...]:
    with pytest.raises(ProblemError) as caught:
        workshop.plan(selection=selection or Selection())
    return caught.value.diagnostics


def test_what_is_protected_is_made_once_and_state_remembers_it(finished: Workshop) -> None:
    assert finished.state().records["thing.base"].protected
    assert not finished.state().records["thing.top"].protected
    assert finished.actions() == {}


def test_an_edit_that_would_rebuild_it_is_refused_at_its_place(finished: Workshop) -> None:
    edit(finished, '["raw.data"]', '["raw.data"]\ncolour = "blue"')
    assert refusals(finished) == (
        Diagnostic(
            "Protected",
            'thing.base is protected, and this plan would rebuild it: colour "red" -> "blue".',
            "Undo the edit, leave it out with `--exclude thing.base`, or write `protect = false` in "
            "[thing.base.lifecycle].",
            Place("recipe.toml", 7, 1),
        ),
    )


def test_an_edit_further_up_names_its_cause(finished: Workshop) -> None:
    (finished.folder / "data.txt").write_text("two")
    (refusal,) = refusals(finished)
    assert refusal.detail == "thing.base is protected, and this plan would rebuild it: data.txt changed."


def test_a_conditional_rebuild_is_refused_too(workshop: Workshop) -> None:
    workshop.write("[thing.a]\n[thing.b]\nbase = ['thing.a']\n[thing.b.lifecycle]\nprotect = true\n")
    workshop.apply()
    edit(workshop, "[thing.a]", "[thing.a]\ncolour = 'blue'")
    (refusal,) = refusals(workshop)
    assert refusal.detail == 'thing.b is protected, and this plan might rebuild it: thing.a.colour "red" -> "blue".'


def test_a_lost_artifact_and_a_request_are_causes_too(finished: Workshop) -> None:
    record = finished.state().records["thing.base"]
    (finished.layout.root / record.artifact / "manifest.json").unlink()
    (refusal,) = refusals(finished)
    assert refusal.detail == "thing.base is protected, and this plan would rebuild it: its artifact is missing."
    (refusal,) = refusals(finished, Selection(replace=("thing.base",)))
    assert refusal.detail == "thing.base is protected, and this plan would rebuild it: asked for with --replace."


def test_an_input_that_is_named_no_more_is_a_cause(finished: Workshop) -> None:
    edit(finished, '["raw.data"]', "[]")
    (refusal,) = refusals(finished)
    assert refusal.detail == "thing.base is protected, and this plan would rebuild it: no longer made from raw.data."


def test_what_only_concerns_others_or_the_record_is_allowed(finished: Workshop) -> None:
    edit(finished, '["raw.data"]', '["raw.data"]\nnote = "hello"\npace = 3')
    edit(finished, '["thing.base"]', '["thing.base"]\ncolour = "blue"')
    assert finished.actions() == {"thing.base": "update", "thing.top": "rebuild"}
    assert finished.apply().failure is None


def test_it_can_be_left_out(finished: Workshop) -> None:
    edit(finished, '["raw.data"]', '["raw.data"]\ncolour = "blue"')
    plan = finished.plan(selection=Selection(exclude=("thing.base",)))
    assert (plan.changes, plan.left_out) == ((), ("thing.base", "thing.top"))


def test_taking_its_table_out_is_refused_because_state_remembers(finished: Workshop) -> None:
    whole = RECIPE[: RECIPE.index("[thing.base]")]
    finished.write(whole)
    (refusal,) = refusals(finished)
    assert refusal == Diagnostic(
        "Protected",
        "thing.base is protected, and this plan would forget it.",
        "To forget it, put its table back with `protect = false` in [thing.base.lifecycle], apply, and remove it then. "
        "To leave it alone, use `--exclude thing.base`.",
        Place("recipe.toml"),
    )
    finished.write(whole + '[[removed]]\nfrom = "thing.base"\n')
    assert refusals(finished) == (evolve(refusal, place=Place("recipe.toml", 3, 1)),)


def test_losing_the_line_unprotects_nothing(finished: Workshop) -> None:
    edit(finished, "[thing.base.lifecycle]\nprotect = true\n", "")
    assert finished.actions() == {}
    edit(finished, '["raw.data"]', '["raw.data"]\ncolour = "blue"')
    assert len(refusals(finished)) == 1


def test_saying_so_unprotects_it_and_is_recorded(finished: Workshop) -> None:
    edit(finished, "protect = true", "protect = false")
    (step,) = finished.plan().changes
    assert [(one.field, one.before, one.after) for one in step.reasons if isinstance(one, FieldChanged)] == [
        ("lifecycle.protect", True, False)
    ]
    finished.apply()
    assert not finished.state().records["thing.base"].protected
    assert finished.actions() == {}
    finished.write(RECIPE[: RECIPE.index("[thing.base]")])
    assert finished.actions() == {"thing.base": "forget", "thing.top": "forget"}


def test_protecting_what_exists_is_only_recorded(finished: Workshop) -> None:
    edit(finished, '["thing.base"]', '["thing.base"]\nlifecycle = {protect = true}')
    assert finished.actions() == {"thing.top": "update"}
    finished.apply()
    assert finished.build.built == []
    assert finished.state().records["thing.top"].protected


def test_data_that_is_protected_may_not_change(workshop: Workshop) -> None:
    workshop.write('[raw.data]\nsource = "data.txt"\nlifecycle = {protect = true}\n', **{"data.txt": "one"})
    workshop.apply()
    (workshop.folder / "data.txt").write_text("two")
    (refusal,) = refusals(workshop)
    assert refusal.detail == "raw.data is protected, and this plan would replace it: data.txt changed."


def test_an_interrupted_run_that_is_protected_may_be_resumed(workshop: Workshop) -> None:
    workshop.write("[thing.a]\nlifecycle = {protect = true}\n")
    workshop.build.stop_after = 2
    assert workshop.apply().interrupted
    assert workshop.actions() == {"thing.a": "resume"}


IGNORING = "[thing.a]\nlifecycle = {ignore_changes = ['colour', 'steps']}\n"


def test_ignored_edits_leave_the_recorded_value_and_are_told(workshop: Workshop) -> None:
    workshop.write(IGNORING)
    workshop.apply()
    edit(workshop, "[thing.a]", "[thing.a]\nsteps = 9\ncolour = 'blue'\nnote = 'new'")
    assert workshop.actions() == {"thing.a": "update"}
    assert workshop.notes == (
        Diagnostic(
            "Ignored change",
            'thing.a.colour stays "red", as it was made: "blue" is ignored.',
            place=Place("recipe.toml", 5, 14),
            severity=Severity.WARNING,
        ),
        Diagnostic(
            "Ignored change",
            "thing.a.steps stays 4, as it was made: 9 is ignored.",
            place=Place("recipe.toml", 5, 14),
            severity=Severity.WARNING,
        ),
    )
    workshop.apply()
    assert workshop.build.built == []
    assert workshop.actions() == {}
    assert workshop.state().records["thing.a"].settings["colour"] == "red"


def test_what_is_rebuilt_for_another_reason_keeps_the_ignored_value(workshop: Workshop) -> None:
    workshop.write(IGNORING)
    workshop.apply()
    edit(workshop, "[thing.a]", "[thing.a]\ndecay = true\ncolour = 'blue'")
    assert workshop.actions() == {"thing.a": "rebuild"}
    workshop.apply()
    assert workshop.state().records["thing.a"].settings["colour"] == "red"
    assert workshop.actions() == {}


def test_no_longer_ignoring_brings_the_edit_back(workshop: Workshop) -> None:
    workshop.write(IGNORING)
    workshop.apply()
    workshop.write("[thing.a]\ncolour = 'blue'\n")
    assert workshop.actions() == {"thing.a": "rebuild"}


def test_what_is_made_for_the_first_time_has_the_recipe_s_values(workshop: Workshop) -> None:
    workshop.write(IGNORING.replace("[thing.a]", "[thing.a]\ncolour = 'blue'"))
    workshop.apply()
    assert workshop.state().records["thing.a"].settings["colour"] == "blue"
    assert workshop.notes == ()


@pytest.mark.parametrize(
    ("line", "detail", "hint"),
    [
        ("protect = 'yes'", 'thing.a.lifecycle.protect: expected true or false, got "yes".', ""),
        ("protected = true", "thing.a.lifecycle.protected: there is no such field.", "Did you mean `protect`?"),
        ("ignore_changes = ['color']", "`color` is no field of it.", "Did you mean `colour`?"),
        ("ignore_changes = ['base']", "`base` names what it is made from and cannot be ignored.", "Remove it."),
        ("ignore_changes = ['note.x']", "`note.x` is no field of it.", "`note` has no fields of its own."),
    ],
)
def test_what_cannot_be_meant_is_refused(line: str, detail: str, hint: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse(f"[thing.a]\n[thing.a.lifecycle]\n{line}\n", "recipe.toml", KINDS)
    (found,) = caught.value.diagnostics
    assert found.detail in (detail, f"thing.a.lifecycle.ignore_changes: {detail}")
    assert (found.hint, found.place) == (hint, Place("recipe.toml", 3, 1))


def test_lifecycle_is_a_table() -> None:
    with pytest.raises(ProblemError) as caught:
        parse("[thing.a]\nlifecycle = true\n", "recipe.toml", KINDS)
    assert caught.value.diagnostics[0].detail == "thing.a.lifecycle: expected a table, got true."


def test_fields_of_real_kinds_are_told_apart() -> None:
    from executor import kinds

    text = """
[model.base]
source = "base"
[dataset.rows]
source = "rows.jsonl"
type = "completion"
[train.a]
method = "sft"
model = "model.base"
datasets = ["dataset.rows"]
learning_rate = 1e-3
[train.a.lifecycle]
ignore_changes = ["adapter.r", "checkpoints.save_steps", "trainer.anything", "learning_rate", LAST]
"""

    def problems(last: str) -> Any:
        try:
            parse(text.replace("LAST", f'"{last}"'), "recipe.toml", kinds.load())
        except ProblemError as error:
            return [one.detail.partition(": ")[2] for one in error.diagnostics]
        return []

    assert problems("adapter") == []
    assert problems("adapter.rank") == ["`adapter.rank` is no field of it."]
    assert problems("method") == ["`method` decides which fields there are and cannot be ignored."]
    assert problems("sequence_len") == ["`sequence_len` belongs to what it is made from and cannot be ignored here."]
    assert problems("datasets") == ["`datasets` names what it is made from and cannot be ignored."]
