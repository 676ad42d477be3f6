"""`[[moved]]`, `[[removed]]`: addresses change and nothing is built; what cannot be meant is refused at its place."""

from __future__ import annotations

import pytest

from executor import kinds
from executor.kinds.train import derive
from planner.plan import Step
from planner.reason import FieldChanged, InputChanged, Moved, Removed
from planner.recipe import parse
from planner.renaming import renamed
from state.diagnostic import Diagnostic, Place, ProblemError
from state.history import History
from state.record import Record, State, Status
from tests.fake_kinds import KINDS, RECIPE, Workshop

RENAMED = RECIPE.replace("thing.base", "thing.ground")
MOVED = '[[moved]]\nfrom = "thing.base"\nto = "thing.ground"\n'


def steps(workshop: Workshop) -> dict[str, Step]:
    return {step.address: step for step in workshop.plan().changes}


def refused(workshop: Workshop) -> tuple[Diagnostic, ...]:
    with pytest.raises(ProblemError) as caught:
        workshop.plan()
    return caught.value.diagnostics


def test_a_renamed_resource_keeps_its_record(finished: Workshop) -> None:
    before = finished.state().records["thing.base"]
    finished.write(RENAMED + MOVED)
    plan = finished.plan()
    assert [(step.address, step.action.value, step.reasons) for step in plan.changes] == [
        ("thing.ground", "move", (Moved("thing.base"),))
    ]
    assert dict(finished.apply(plan).done) == {"raw.data": "reused", "thing.ground": "moved", "thing.top": "reused"}
    state = finished.state()
    assert state.records["thing.ground"] == before
    assert state.records["thing.top"].inputs["base"][0].address == "thing.ground"
    assert set(state.records) == {"raw.data", "thing.ground", "thing.top"}
    reasons = [entry.because for _, entry in History(finished.backend).newest_first(state)]
    assert "moved thing.base to thing.ground" in reasons


def test_a_move_that_is_done_does_nothing_more(finished: Workshop) -> None:
    finished.write(RENAMED + MOVED)
    finished.apply()
    assert finished.actions() == {}
    finished.write(RENAMED)
    assert finished.actions() == {}


def test_a_move_in_a_state_that_never_had_it_does_nothing(workshop: Workshop) -> None:
    workshop.write(RENAMED + MOVED, **{"data.txt": "one"})
    assert workshop.actions() == {"raw.data": "build", "thing.ground": "build", "thing.top": "build"}


def test_moves_go_on_where_others_end(finished: Workshop) -> None:
    finished.write(
        RECIPE.replace("thing.base", "thing.third")
        + '[[moved]]\nfrom = "thing.second"\nto = "thing.third"\n[[moved]]\nfrom = "thing.base"\nto = "thing.second"\n'
    )
    assert finished.actions() == {"thing.third": "move"}
    finished.apply()
    assert finished.build.built == []
    assert finished.actions() == {}


def test_an_edit_of_a_renamed_resource_is_told_together_with_its_move(finished: Workshop) -> None:
    finished.write(RENAMED.replace("[thing.ground]", '[thing.ground]\ncolour = "blue"') + MOVED)
    found = steps(finished)
    first, second = found["thing.ground"].reasons
    assert (found["thing.ground"].action.value, first) == ("rebuild", Moved("thing.base"))
    assert isinstance(second, FieldChanged)
    assert found["thing.top"].conditional
    assert found["thing.top"].reasons == (InputChanged("base", "thing.ground", certain=False, because=(second,)),)
    finished.apply()
    assert finished.build.built == ["thing.ground", "thing.top"]
    assert finished.actions() == {}


def test_an_interrupted_run_is_resumed_under_its_new_name(workshop: Workshop) -> None:
    workshop.write("[thing.base]\n")
    workshop.build.stop_after = 2
    workshop.apply()
    workshop.build.stop_after = 0
    workshop.write("[thing.ground]\n" + MOVED)
    step = steps(workshop)["thing.ground"]
    assert (step.action.value, step.resume_from and step.resume_from.step) == ("resume", 2)
    assert dict(workshop.apply().done) == {"thing.ground": "resumed"}


def test_data_can_be_renamed_too(finished: Workshop) -> None:
    finished.write(RECIPE.replace("raw.data", "raw.rows") + '[[moved]]\nfrom = "raw.data"\nto = "raw.rows"\n')
    assert finished.actions() == {"raw.rows": "move"}
    finished.apply()
    assert finished.actions() == {}


def test_protection_moves_along(workshop: Workshop) -> None:
    workshop.write("[thing.base]\nlifecycle = {protect = true}\n")
    workshop.apply()
    workshop.write("[thing.ground]\n" + MOVED)
    workshop.apply()
    assert workshop.state().records["thing.ground"].protected


def test_tokens_follow_what_they_are_for() -> None:
    recipe = parse(
        """
[model.base]
source = "base"
[dataset.rows]
source = "rows.jsonl"
type = "completion"
[train.after]
method = "sft"
model = "model.base"
datasets = ["dataset.rows"]
learning_rate = 1e-3
[[moved]]
from = "train.before"
to = "train.after"
""",
        "recipe.toml",
        kinds.load(),
    )
    (derived,) = derive(recipe.resources["train.after"], recipe.resources)
    record = Record("k", {}, {}, {}, 1, "key", Status.READY)
    state = State("l", 1, {"train.before": record, "tokens.before": record})
    known = renamed(recipe, state)
    assert set(known.state.records) == {"train.after", derived.address}
    assert dict(known.before) == {"train.after": "train.before", derived.address: "tokens.before"}


def test_two_records_cannot_have_one_address(finished: Workshop) -> None:
    finished.write(RECIPE + "[thing.ground]\n")
    finished.apply()
    finished.write(RENAMED + MOVED)
    assert refused(finished) == (
        Diagnostic(
            "Address in use",
            "thing.base is moved to thing.ground, and the state has both.",
            "Forget the one that is not meant with `tune state rm`, or remove this move: thing.base is forgotten then.",
            Place("recipe.toml", 7, 1),
        ),
    )


def test_what_was_removed_on_purpose_is_forgotten_and_told_so(finished: Workshop) -> None:
    finished.write(RECIPE[: RECIPE.index("[thing.top]")] + '[[removed]]\nfrom = "thing.top"\n')
    assert steps(finished)["thing.top"].reasons == (Removed(),)
    assert dict(finished.apply().done)["thing.top"] == "forgotten"
    assert finished.actions() == {}


def test_what_was_moved_before_it_was_removed_is_forgotten(finished: Workshop) -> None:
    finished.write(
        RECIPE[: RECIPE.index("[thing.top]")]
        + '[[moved]]\nfrom = "thing.top"\nto = "thing.old"\n[[removed]]\nfrom = "thing.old"\n'
    )
    assert steps(finished)["thing.old"].reasons == (Moved("thing.top"), Removed())
    finished.apply()
    assert set(finished.state().records) == {"raw.data", "thing.base"}


def move(before: str, after: str) -> str:
    return f'[[moved]]\nfrom = "{before}"\nto = "{after}"\n'


@pytest.mark.parametrize(
    ("text", "detail", "hint"),
    [
        (
            move("thing.a", "thing.old"),
            "thing.a is moved to thing.old, and the recipe still has it.",
            "Rename its table.",
        ),
        (
            move("thing.old", "thing.bb"),
            "thing.old is moved to thing.bb, which the recipe does not define.",
            "Did you mean `thing.b`?",
        ),
        (move("thing.old", "raw.a"), "thing.old cannot become raw.a: the kind stays.", "Name a `thing.NAME`."),
        (
            move("thin.old", "thin.a"),
            "`thin.old` is no address of a table: an address is a kind and a name.",
            "Did you mean `thing`?",
        ),
        (
            move("tokens.old", "tokens.a"),
            "`tokens.old` is no address of a table: an address is a kind and a name.",
            "Tokens follow what they are for by themselves.",
        ),
        (
            '[[removed]]\nfrom = "thing.a"\n',
            "The recipe says that thing.a is removed, and has it.",
            "Remove one of both.",
        ),
        (
            '[[removed]]\nfrom = "a"\n',
            "`a` is no address of a table: an address is a kind and a name.",
            "Known kinds: raw, thing.",
        ),
        (
            '[[import]]\nto = "thing.c"\nfrom = "theirs"\n',
            "`thing.c` is to be imported, and the recipe does not define it.",
            "Did you mean `thing.b`?",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, detail: str, hint: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse(f"[thing.a]\n[thing.b]\n{text}", "recipe.toml", KINDS)
    (found,) = caught.value.diagnostics
    assert (found.detail, found.hint, found.place) == (detail, hint, Place("recipe.toml", 3, 1))


@pytest.mark.parametrize(
    ("text", "details"),
    [
        (
            move("thing.x", "thing.y") + move("thing.y", "thing.x"),
            ["thing.x is moved in a circle.", "thing.y is moved in a circle."],
        ),
        (
            move("thing.a", "thing.b") + move("thing.b", "thing.a"),
            ["thing.a is moved in a circle.", "thing.b is moved in a circle."],
        ),
        (move("thing.x", "thing.a") + move("thing.x", "thing.b"), ["thing.x is moved twice."]),
        (move("thing.x", "thing.a") + move("thing.y", "thing.a"), ["Two resources are moved to thing.a."]),
        (
            '[[import]]\nto = "thing.a"\nfrom = "x"\n[[import]]\nto = "thing.a"\nfrom = "y"\n',
            ["thing.a is imported twice."],
        ),
        (
            '[[moved]]\nform = "thing.x"\nto = 3\n',
            [
                "moved.0.from: this field is required.",
                "moved.0.form: there is no such field.",
                "moved.0.to: expected a string, got 3.",
            ],
        ),
        ('[moved]\nfrom = "x"\n', ["moved: expected tables."]),
    ],
)
def test_wrong_tables_are_all_told_at_once(text: str, details: list[str]) -> None:
    with pytest.raises(ProblemError) as caught:
        parse(f"[thing.a]\n[thing.b]\n{text}", "recipe.toml", KINDS)
    assert [one.detail for one in caught.value.diagnostics] == details
