"""`--set` and `--var`: what a command line says instead of the recipe, and what it cannot say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from planner.overrides import Overrides, plain_value, with_settings
from planner.recipe import assemble, read_state_table
from planner.state_table import StateTable
from planner.variables import with_variables
from planner.written import Written, read
from state.diagnostic import ProblemError
from tests.fake_kinds import KINDS

RECIPE = """
[vars]
steps = 4
colour = "red"
bases = ["thing.a"]
must = {}

[thing.a]
note = "${colour} for ${steps} steps, not $${steps}"
steps = "${steps}"

[thing.b]
base = "${bases}"
"""


def substituted(text: str, *settings: str, **variables: str) -> Written:
    overrides = Overrides(variables, settings)
    return with_variables(with_settings(read(text, "recipe.toml"), settings), overrides)


def problems(text: str, *settings: str, **variables: str) -> list[tuple[str, str, str, str]]:
    with pytest.raises(ProblemError) as caught:
        assemble(substituted(text, *settings, **variables), KINDS)
    return [(str(one.place), one.summary, one.detail, one.hint) for one in caught.value.diagnostics]


def test_a_string_that_is_only_a_variable_takes_its_type_and_others_take_its_text() -> None:
    assert substituted(RECIPE).tables == {
        "thing": {"a": {"note": "red for 4 steps, not ${steps}", "steps": 4}, "b": {"base": ["thing.a"]}}
    }


def test_variables_come_from_the_command_line_then_the_environment_then_the_recipe() -> None:
    text = '[vars]\na = 1\nb = 1\nc = 1\n[thing.x]\nbase = ["${a}", "${b}", "${c}"]\n'
    overrides = Overrides({"a": "3"}, environment={"b": "2", "a": "2", "unknown": "2"})
    tables = with_variables(read(text, "recipe.toml"), overrides).tables
    assert tables["thing"]["x"]["base"] == [3, 2, 1]


@pytest.mark.parametrize(
    ("default", "given", "value"),
    [
        ("1", "2.5", 2.5),
        ("0.5", "1", 1),
        ("1", "1e-4", 1e-4),
        ('"red"', "5", "5"),
        ('"red"', '"blue"', '"blue"'),
        ("true", "false", False),
        ("[1]", "[2, 3]", [2, 3]),
        ("{}", "2", 2),
        ("{}", "blue", "blue"),
        ("{}", "[true]", [True]),
    ],
)
def test_a_given_value_is_of_the_type_of_the_default(default: str, given: str, value: object) -> None:
    text = f'[vars]\nx = {default}\n[thing.a]\nnote = "${{x}}"\n'
    found = substituted(text, x=given).tables["thing"]["a"]["note"]
    assert found == value
    assert type(found) is type(value)


def test_all_problems_with_variables_are_told_at_once() -> None:
    text = RECIPE + 'note = "${color} ${must} ${must}"\nsteps = "${bases} and more"\n'
    assert problems(text, stpes="3", steps="many") == [
        (
            "--var steps",
            "Invalid variable",
            'The variable `steps` is a number by default, and "many" is given.',
            "Give a number, or `steps` another default in `[vars]`.",
        ),
        (
            "--var stpes",
            "Unknown variable",
            "The recipe declares no variable `stpes`.",
            "Did you mean `steps`?",
        ),
        (
            "recipe.toml:6:1",
            "Missing variable",
            "The variable `must` has no default, and no value was given.",
            "Give one with `--var must=...` or the environment variable TUNE_VAR_must.",
        ),
        (
            "recipe.toml:14:1",
            "Unknown variable",
            "thing.b.note uses `${color}`, which `[vars]` does not have.",
            "Did you mean `colour`?",
        ),
        (
            "recipe.toml:15:1",
            "Invalid variable",
            "`bases` is a list, and thing.b.steps needs a text.",
            "Let the string be `${bases}` and nothing else.",
        ),
    ]


@given(some.text("${}ab", max_size=12))
def test_what_is_escaped_stands_for_itself(text: str) -> None:
    escaped = text.replace("${", "$${")
    written = Written("recipe.toml", {"thing": {"a": {"note": escaped}}}, {})
    assert with_variables(written, Overrides()).tables == {"thing": {"a": {"note": text}}}


def test_a_recipe_without_variables_knows_none() -> None:
    assert problems('[thing.a]\nnote = "${x}"\n') == [
        (
            "recipe.toml:2:1",
            "Unknown variable",
            "thing.a.note uses `${x}`, which `[vars]` does not have.",
            "Declare it: `[vars]` with a line for each, `name = default`. A `$${` stands for `${`.",
        )
    ]
    assert problems("[thing.a]\n", x="1")[0][:3] == (
        "--var x",
        "Unknown variable",
        "The recipe declares no variable `x`.",
    )


def test_variables_are_declared_plainly() -> None:
    text = 'vars.1x = 1\nvars.a = "${b}"\nvars.b = { c = 1 }\n[thing.a]\nnote = "${a} ${b}"\n'
    assert [(place, detail) for place, _, detail, _ in problems(text)] == [
        ("recipe.toml:1:1", "`1x` cannot name a variable."),
        ("recipe.toml:2:1", "`vars.a` refers to a variable itself."),
        ("recipe.toml:3:1", "`vars.b` must not be a table."),
    ]
    for value in ("1", "[]", "false"):
        assert problems(f"vars = {value}\n[thing.a]\n") == [
            ("recipe.toml:1:1", "Invalid value", "`vars` must be a table.", "Write it as `[vars]`.")
        ]


def test_a_variable_that_nothing_uses_need_not_be_given() -> None:
    assert substituted("[vars]\nx = {}\n[thing.a]\n").tables == {"thing": {"a": {}}}


def test_secrets_are_refused_even_in_variables_that_nothing_uses() -> None:
    token = "hf_" + "aB3" * 12
    assert problems(f'[vars]\nx = "{token}"\n[thing.a]\n')[0][:3] == (
        "recipe.toml:2:1",
        "Secret in the recipe",
        "vars.x looks like a password or a token.",
    )
    assert problems('[vars]\nx = ""\n[thing.a]\n', x=token)[0][1] == "Secret in the recipe"


def test_the_place_of_state_may_be_a_variable_whatever_is_wrong_elsewhere() -> None:
    written = read(
        '[vars]\nteam = {}\nx = {}\n[state]\nurl = "s3://${team}/x"\n[thing.a]\nnote = "${x} ${y}"\n', "r.toml"
    )
    assert read_state_table(written, Overrides({"team": "blue"})) == StateTable(url="s3://blue/x")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("3", 3),
        ("true", True),
        ("yes", "yes"),
        ('"3"', "3"),
        ("'a b'", "a b"),
        ("model.base", "model.base"),
        ('["a", 2]', ["a", 2]),
        ("{ r = 8 }", {"r": 8}),
        ("", ""),
        ("2026-01-01", "2026-01-01"),
        ("1\nother = 2", "1\nother = 2"),
    ],
)
def test_a_value_is_read_as_toml_and_a_bare_word_is_a_string(text: str, value: object) -> None:
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


@given(some.text())
def test_every_text_is_a_value(text: str) -> None:
    assert plain_value(text) is not None


def test_settings_replace_what_the_recipe_says_and_add_what_it_does_not() -> None:
    text = '[thing.a]\nsteps = 1\ndeep = { one = 1 }\n[state]\nurl = "x"\n'
    settings = ("thing.a.steps=2", "thing.a.deep.two = b c", 'thing."a".note="x=y"', "thing.b={}", "state.url=y")
    assert with_settings(read(text, "recipe.toml"), settings).tables == {
        "thing": {"a": {"steps": 2, "deep": {"one": 1, "two": "b c"}, "note": "x=y"}, "b": {}},
        "state": {"url": "y"},
    }


def test_the_last_setting_wins_and_the_recipe_as_read_stays_as_it_was() -> None:
    written = read("[thing.a]\nsteps = 1\n", "recipe.toml")
    assert with_settings(written, ("thing.a.steps=2", "thing.a.steps=3")).tables == {"thing": {"a": {"steps": 3}}}
    assert written.tables == {"thing": {"a": {"steps": 1}}}


def test_a_setting_may_use_a_variable() -> None:
    tables = substituted("[vars]\nx = 3\n[thing.a]\n", "thing.a.steps=${x}", "vars.x=5").tables
    assert tables == {"thing": {"a": {"steps": 5}}}


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("thing.aa.steps=1", ("--set thing.aa.steps", "Unknown path", "The recipe has no table `thing.aa`.")),
        ("thng.a.steps=1", ("--set thng.a.steps", "Unknown path", "The recipe has no table `thng`.")),
        ("thing.a.stps=1", ("--set thing.a.stps", "Unknown field", "thing.a.stps: there is no such field.")),
        (
            "thing.a.steps=many",
            ("--set thing.a.steps", "Invalid value", 'thing.a.steps: expected a whole number, got "many".'),
        ),
        (
            "thing.a.steps.x.y=1",
            ("--set thing.a.steps.x.y", "Invalid value", "thing.a.steps: expected a whole number, got a table."),
        ),
        ("steps=1", ("--set", "Invalid usage", "`steps=1` sets nothing.")),
        ("thing.a.steps", ("--set", "Invalid usage", "`thing.a.steps` sets nothing.")),
        ("thing a.steps=1", ("--set", "Invalid usage", "`thing a.steps=1` sets nothing.")),
        ("", ("--set", "Invalid usage", "`` sets nothing.")),
    ],
)
def test_what_is_wrong_with_a_setting_is_told_of_the_command_line(setting: str, told: tuple[str, str, str]) -> None:
    (found,) = problems("[thing.a]\nsteps = 1\n", setting)
    assert found[:3] == told


def test_unknown_paths_come_with_a_suggestion() -> None:
    assert problems("[thing.first]\n", "thing.frist.steps=1")[0][3] == "Did you mean `first`?"
    assert problems("[thing.first]\n", "thing.zzz.steps=1")[0][3] == "It has: thing.first."


def test_what_the_environment_gave_travels_with_a_plan_where_the_recipe_declares_it() -> None:
    written: Any = read("[vars]\na = 1\nb = 1\n[thing.x]\n", "recipe.toml")
    overrides = Overrides({"a": "2"}, ("thing.x.steps=1",), {"a": "3", "b": "4", "path": "/bin"})
    assert overrides.without_environment(written) == Overrides({"a": "2", "b": "4"}, ("thing.x.steps=1",))
