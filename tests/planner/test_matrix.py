"""A matrix is several resources with addresses that say what differs, usable wherever an address is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from planner.matrix import members
from planner.recipe import Recipe, parse
from state.diagnostic import ProblemError
from state.layout import Layout
from tests.fake_kinds import KINDS

RAW = '[raw.data]\nsource = "d.txt"\n'
COLOURS = '[thing.x]\nbase = ["raw.data"]\n[thing.x.matrix]\ncolour = ["red", "blue"]\n'


def read(text: str) -> Recipe:
    return parse(RAW + text, "recipe.toml", KINDS)


def problems(text: str) -> list[tuple[str, str, str]]:
    with pytest.raises(ProblemError) as caught:
        parse(text, "recipe.toml", KINDS)
    return [(str(one.place), one.detail, one.hint) for one in caught.value.diagnostics]


def test_a_matrix_is_the_product_of_its_values_in_the_order_in_which_they_were_written() -> None:
    recipe = read('[thing.x]\nnote = "n"\n[thing.x.matrix]\nsteps = [2, 4]\ncolour = ["red", "blue"]\n')
    made = {address: one.specification for address, one in recipe.resources.items() if one.kind.name == "thing"}
    assert {address: (one.steps, one.colour, one.note) for address, one in made.items()} == {
        "thing.x[steps=2,colour=red]": (2, "red", "n"),
        "thing.x[steps=2,colour=blue]": (2, "blue", "n"),
        "thing.x[steps=4,colour=red]": (4, "red", "n"),
        "thing.x[steps=4,colour=blue]": (4, "blue", "n"),
    }


@pytest.mark.parametrize(
    ("matrix", "names"),
    [
        ({"rate": [1e-4, 2e-4, 1e-5]}, ["x[rate=0.0001]", "x[rate=0.0002]", "x[rate=1e-05]"]),
        ({"fast": [True, False]}, ["x[fast=true]", "x[fast=false]"]),
        ({"adapter": {"r": [8, 16]}}, ["x[adapter.r=8]", "x[adapter.r=16]"]),
        ({"adapter.r": [8]}, ["x[adapter.r=8]"]),
        ({"data": [["dataset.a", "dataset.b"], ["dataset.a"]]}, ["x[data=dataset.a+dataset.b]", "x[data=dataset.a]"]),
        ({"model": ["train.y[rate=0.1]"]}, ["x[model=train.y[rate=0.1]]"]),
    ],
)
def test_addresses_say_the_values(matrix: Any, names: list[str]) -> None:
    found, faults = members("x", {"matrix": matrix})
    assert not faults
    assert [one.name for one in found] == names


def test_values_replace_those_of_the_table_however_deep_and_leave_the_rest() -> None:
    table = {"rate": 1, "adapter": {"r": 4, "alpha": 16}, "matrix": {"adapter": {"r": [8, 16]}, "rate": [2]}}
    found, _ = members("x", table)
    assert [one.table for one in found] == [
        {"rate": 2, "adapter": {"r": 8, "alpha": 16}},
        {"rate": 2, "adapter": {"r": 16, "alpha": 16}},
    ]
    assert table["adapter"] == {"r": 4, "alpha": 16}


def test_problems_are_told_once_at_the_value_that_has_them() -> None:
    text = '[thing.x]\npace = "slow"\n[thing.x.matrix]\nsteps = [1, "two"]\ncolor = ["red", "blue"]\n'
    assert problems(text) == [
        ("recipe.toml:2:1", 'thing.x[steps=1,color=red].pace: expected a whole number, got "slow".', ""),
        ("recipe.toml:4:1", 'thing.x[steps=two,color=red].steps: expected a whole number, got "two".', ""),
        (
            "recipe.toml:5:1",
            "thing.x[steps=1,color=red].color: there is no such field.",
            "Did you mean `colour`?",
        ),
    ]


@pytest.mark.parametrize(
    ("matrix", "detail"),
    [
        ("matrix = 1", "thing.x.matrix: expected a table, got 1."),
        ("matrix = {}", "thing.x.matrix: expected a table, got a table."),
        ("matrix.steps = 4", "thing.x.matrix.steps: expected a list of values, got 4."),
        ("matrix.steps = []", "thing.x.matrix.steps: expected a list of values, got []."),
        ("matrix.steps = [4, 4]", "thing.x.matrix.steps: 4 is listed twice."),
        ('matrix.note = ["a b"]', 'thing.x.matrix.note: "a b" cannot be part of an address.'),
        ("matrix.base = [[]]", "thing.x.matrix.base: [] cannot be part of an address."),
        ("matrix.base = [{}]", "thing.x.matrix.base: a table cannot be part of an address."),
    ],
)
def test_what_is_no_matrix_is_refused(matrix: str, detail: str) -> None:
    ((place, told, _),) = problems(f"[thing.x]\n{matrix}\n")
    assert (place, told) == ("recipe.toml:2:1", detail)


def test_a_matrix_does_not_explode() -> None:
    axes = "\n".join(f"{name} = [{', '.join(map(str, range(40)))}]" for name in ("steps", "pace", "lowest"))
    assert problems(f"[thing.x.matrix]\n{axes}\n") == [
        ("recipe.toml:1:1", "thing.x.matrix: it stands for more than 1000 resources.", "List fewer values.")
    ]


def test_members_are_referred_to_by_their_addresses() -> None:
    recipe = read(COLOURS + '[thing.y]\nbase = ["thing.x[colour=blue]"]\n')
    assert list(recipe.resources) == ["raw.data", "thing.x[colour=red]", "thing.x[colour=blue]", "thing.y"]


def test_a_matrix_may_vary_what_is_referred_to() -> None:
    axis = '[thing.y.matrix]\nbase = [["thing.x[colour=red]"], ["thing.x[colour=blue]", "raw.data"]]\n'
    recipe = read(COLOURS + axis)
    assert [address for address in recipe.resources if address.startswith("thing.y")] == [
        "thing.y[base=thing.x[colour=red]]",
        "thing.y[base=thing.x[colour=blue]+raw.data]",
    ]


def test_a_name_can_be_reduced_to_what_matters() -> None:
    recipe = read('[thing.x.matrix]\nsteps = [2]\ncolour = ["red"]\n')
    resource = recipe.resources["thing.x[steps=2,colour=red]"]
    assert [resource.name_by(fields) for fields in ((), ("colour", "base"), ("colour", "steps"))] == [
        "x",
        "x[colour=red]",
        "x[steps=2,colour=red]",
    ]
    assert recipe.resources["raw.data"].name_by(("source",)) == "data"


def test_a_reference_to_the_whole_is_answered_with_its_members() -> None:
    assert problems(RAW + COLOURS + '[thing.y]\nbase = ["thing.x"]\n') == [
        (
            "recipe.toml:8:1",
            "thing.y.base names thing.x, which is a matrix of 2.",
            "Name one: thing.x[colour=red], thing.x[colour=blue].",
        )
    ]


def test_a_member_that_does_not_exist_is_answered_with_the_nearest() -> None:
    ((_, detail, hint),) = problems(RAW + COLOURS + '[thing.y]\nbase = ["thing.x[colour=blu]"]\n')
    assert detail == "thing.y.base names thing.x[colour=blu], which the recipe does not define."
    assert hint == "Did you mean `thing.x[colour=blue]`?"


def test_brackets_cannot_be_written_into_a_name() -> None:
    ((_, detail, _),) = problems('[thing."x[colour=red]"]\n')
    assert detail == "`x[colour=red]` cannot name a resource."


def test_members_are_built_recorded_and_reused_one_by_one(workshop: Any) -> None:
    workshop.write(RAW + COLOURS, **{"d.txt": "rows"})
    result = workshop.apply()
    assert result.done == {"raw.data": "recorded", "thing.x[colour=red]": "built", "thing.x[colour=blue]": "built"}
    assert workshop.actions() == {}
    artifact = workshop.state().records["thing.x[colour=blue]"].artifact
    assert artifact.startswith("artifacts/thing/x-colour=blue/")
    workshop.write(RAW + COLOURS.replace('"blue"', '"blue", "green"'), **{"d.txt": "rows"})
    assert workshop.actions() == {"thing.x[colour=green]": "build"}
    workshop.write(RAW + COLOURS.replace('"red", ', ""), **{"d.txt": "rows"})
    assert workshop.actions() == {"thing.x[colour=red]": "forget"}


def test_a_table_that_becomes_a_matrix_keeps_what_was_made(workshop: Any) -> None:
    workshop.write(RAW + '[thing.x]\nbase = ["raw.data"]\n', **{"d.txt": "rows"})
    workshop.apply()
    workshop.write(RAW + COLOURS, **{"d.txt": "rows"})
    assert workshop.actions() == {
        "thing.x[colour=red]": "adopt",
        "thing.x[colour=blue]": "build",
        "thing.x": "forget",
    }


@given(some.lists(some.text("ab01_.[]=,@:/+-", min_size=1), min_size=1, max_size=4, unique=True))
def test_folders_of_members_are_safe_and_stay_where_they_belong(values: list[str]) -> None:
    found, faults = members("x", {"matrix": {"note": values}})
    assert not faults
    for one in found:
        folder = Layout(Path("recipe")).artifact("thing", one.name, "key")
        assert folder.parent.parent == Path("recipe/.tune/artifacts/thing")
        assert re.fullmatch(r"x-note=[A-Za-z0-9_.=-]*", folder.parent.name)
