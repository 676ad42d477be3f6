"""YAML recipes: the same tables as in TOML, places included, without YAML's surprises."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from planner.recipe import parse
from planner.written import read
from state.diagnostic import ProblemError
from tests.fake_kinds import KINDS

RECIPE = """\
# A recipe
raw:
  data:
    source: d.txt
thing:
  a: &defaults
    base: [raw.data]
    colour: no
    steps: 4
  b:
    <<: *defaults
    steps: 0x10
    note: "${x}"   # quoted
moved:
  - from: thing.c
    to: thing.a
"""


def refused(text: str) -> tuple[str, str, str]:
    with pytest.raises(ProblemError) as caught:
        read(textwrap.dedent(text), "recipe.yaml")
    (one,) = caught.value.diagnostics
    return str(one.place), one.summary, one.detail


def test_yaml_holds_plain_values() -> None:
    written = read(RECIPE, "recipe.yaml")
    assert written.tables == {
        "raw": {"data": {"source": "d.txt"}},
        "thing": {
            "a": {"base": ["raw.data"], "colour": "no", "steps": 4},
            "b": {"base": ["raw.data"], "colour": "no", "steps": 16, "note": "${x}"},
        },
        "moved": [{"from": "thing.c", "to": "thing.a"}],
    }
    assert {type(one) for one in written.tables["thing"]["b"].values()} == {list, str, int}


def test_every_key_has_its_place() -> None:
    written = read(RECIPE, "recipe.yaml")
    paths = ("raw", "thing.a", "thing.a.steps", "thing.b.steps", "thing.b.note", "moved.0.to", "thing.b.colour")
    assert {path: str(written.place(path)) for path in paths} == {
        "raw": "recipe.yaml:2:1",
        "thing.a": "recipe.yaml:6:3",
        "thing.a.steps": "recipe.yaml:9:5",
        "thing.b.steps": "recipe.yaml:12:5",
        "thing.b.note": "recipe.yaml:13:5",
        "moved.0.to": "recipe.yaml:16:5",
        "thing.b.colour": "recipe.yaml:8:5",
    }


def test_both_spellings_of_a_recipe_mean_the_same() -> None:
    toml = '[raw.data]\nsource = "d.txt"\n[thing.a]\nbase = ["raw.data"]\nsteps = 6\n'
    yaml = "raw: {data: {source: d.txt}}\nthing:\n  a:\n    base: [raw.data]\n    steps: 6\n"
    one, other = parse(toml, "recipe.toml", KINDS), parse(yaml, "recipe.yml", KINDS)
    assert one.digest == other.digest


def test_problems_of_a_yaml_recipe_have_places() -> None:
    with pytest.raises(ProblemError) as caught:
        parse("thing:\n  a:\n    steps: '4'\n    color: red\n", "recipe.yaml", KINDS)
    assert [(str(one.place), one.detail) for one in caught.value.diagnostics] == [
        ("recipe.yaml:3:5", 'thing.a.steps: expected a whole number, got "4".'),
        ("recipe.yaml:4:5", "thing.a.color: there is no such field."),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("1e-4", 1e-4),
        ("2.0e-4", 2e-4),
        ("010", 10),
        ("1_000", 1000),
        ("12:30:45", "12:30:45"),
        ("null", None),
        ("~", None),
        (">-\n  a\n  b", "a b"),
        ("|\n  a", "a\n"),
        ("&x 3", 3),
        ("&x true", True),
        ("&x 0.5", 0.5),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = read(f"x: {text}\n", "recipe.yaml").tables["x"]
    assert found == value
    assert type(found) is type(value)


def test_an_empty_text_is_an_empty_recipe() -> None:
    assert read("# nothing\n", "recipe.yaml").tables == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\na: 2\n", ("recipe.yaml:2:1", "Invalid YAML")),
        ("a: [1\nb: 2\n", ("recipe.yaml:2:2", "Invalid YAML")),
        ("a: *x\n", ("recipe.yaml:1:4", "Invalid YAML")),
        ("- a\n", ("recipe.yaml:1:1", "Invalid YAML")),
        ("a\n", ("recipe.yaml:1:1", "Invalid YAML")),
        ("a: 1\n---\nb: 2\n", ("recipe.yaml:2:1", "Invalid YAML")),
        ("a:\n  1: 2\n", ("recipe.yaml:2:3", "Invalid YAML")),
        ("a: 2026-01-01\n", ("recipe.yaml:1:4", "Invalid YAML")),
        ("a: !!python/object:os.system x\n", ("recipe.yaml:1:4", "Invalid YAML")),
        ("a: !!binary aGVsbG8=\n", ("recipe.yaml:1:4", "Invalid YAML")),
        ("a: !!int many\n", ("recipe.yaml:1:4", "Invalid YAML")),
        ("<<: 1\n", ("recipe.yaml:1:5", "Invalid YAML")),
        ('a: "\\ud800"\n', ("recipe.yaml:1:4", "Invalid YAML")),
        ("a: @b\n", ("recipe.yaml:1:4", "Invalid YAML")),
        ("a: &x [*x]\n", ("recipe.yaml:1:4", "Invalid YAML")),
        ("a: &x\n  b: *x\n", ("recipe.yaml:1:4", "Invalid YAML")),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_place(text: str, told: tuple[str, str]) -> None:
    assert refused(text)[:2] == told


def test_a_key_that_stands_twice_is_named() -> None:
    assert refused("thing:\n  a: 1\n  a: 2\n")[2] == "The key `a` stands here twice."


@pytest.mark.slow
def test_aliases_cannot_unfold_without_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert refused("\n".join(lines))[2] == "Aliases unfold into more than any recipe holds."


@given(some.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text, "recipe.yaml")
    except ProblemError as error:
        told = [one.summary for one in error.diagnostics]
    else:
        told = ["Invalid YAML"]
    assert told == ["Invalid YAML"]


KEYS = some.from_regex(r"[a-z]{1,3}", fullmatch=True)
TEXT = some.text(some.characters(codec="utf-8", exclude_characters="\0"))  # which is refused in any recipe
PLAIN = some.recursive(
    some.integers() | some.booleans() | TEXT | some.floats(allow_nan=False, allow_infinity=False) | some.none(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


@given(some.dictionaries(KEYS, PLAIN, max_size=4))
def test_json_is_yaml(tables: dict[str, Any]) -> None:
    assert read(json.dumps(tables), "recipe.yaml").tables == tables
