"""Values to specification classes and back: nothing is coerced, nothing is lost, nothing counts twice."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, Literal

import attrs
import pytest
from attrs import frozen

from planner.effects import Effect, reference, setting
from planner.kind import Kind
from planner.limits import fraction, not_empty, not_negative, numpy_seed, positive
from planner.recipe import parse
from planner.structure import settings_of, structure, with_defaults
from state.canonical import Plain
from state.shapes import Fault, MisfitError
from state.wording import show, suggestion

ANY: Any = {"effect": Effect.REBUILD, "why": "it counts"}


@frozen
class Flag:
    x: bool = setting(**ANY)


@frozen
class Whole:
    x: int = setting(**ANY)


@frozen
class Number:
    x: float = setting(**ANY)


@frozen
class Text:
    x: str = setting(**ANY)


@frozen
class Texts:
    x: tuple[str, ...] = setting(**ANY)


@frozen
class Choice:
    x: Literal["red", "green"] = setting(**ANY)


@frozen
class Perhaps:
    x: int | None = setting(**ANY)


@frozen
class Either:
    x: int | str = setting(**ANY)


@frozen
class Anything:
    x: dict[str, Plain] = setting(**ANY)


VALUES: list[Any] = [
    True,
    1,
    1.5,
    "red",
    "1",
    ["red"],
    [1],
    [],
    {},
    {"a": 1},
    None,
    dt.date(2026, 1, 1),
    math.nan,
]
ACCEPTED: dict[type, list[Any]] = {
    Flag: [True],
    Whole: [1],
    Number: [1, 1.5],
    Text: ["red", "1"],
    Texts: [["red"], []],
    Choice: ["red"],
    Perhaps: [1, None],
    Either: [1, "red", "1"],
    Anything: [{}, {"a": 1}],
}


def told(specification: type, value: Any) -> tuple[Fault, ...]:
    with pytest.raises(MisfitError) as caught:
        structure(value, specification)
    return caught.value.faults


@pytest.mark.parametrize("specification", ACCEPTED)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_of_another_type_is_never_made_to_fit(specification: type, value: Any) -> None:
    if any(value == one and type(value) is type(one) for one in ACCEPTED[specification]):
        expected = tuple(value) if isinstance(value, list) else value
        assert structure({"x": value}, specification).x == expected
    else:
        (fault,) = told(specification, {"x": value})
        assert fault.path in ("x", "x.0")
        assert fault.message.startswith("expected ")


@pytest.mark.parametrize(
    ("specification", "value", "message"),
    [
        (Flag, "no", 'expected true or false, got "no"'),
        (Flag, 1, "expected true or false, got 1"),
        (Whole, 3.7, "expected a whole number, got 3.7"),
        (Whole, True, "expected a whole number, got true"),
        (Number, "3", 'expected a number, got "3"'),
        (Number, True, "expected a number, got true"),
        (Number, math.inf, "expected a number, got inf"),
        (Text, 3, "expected a string, got 3"),
        (Text, None, "expected a string, got nothing"),
        (Texts, "all", 'expected a list, got "all"'),
        (Anything, ["a"], 'expected a table, got ["a"]'),
    ],
)
def test_a_misfit_is_told_in_the_words_of_the_recipe(specification: type, value: Any, message: str) -> None:
    assert told(specification, {"x": value}) == (Fault("x", message),)


def test_a_choice_is_told_with_all_options_and_the_nearest_one() -> None:
    assert told(Choice, {"x": "grene"}) == (
        Fault("x", 'expected one of "red", "green"; got "grene"', "Did you mean `green`?"),
    )


def test_one_member_of_a_list_is_told_by_its_position() -> None:
    assert told(Texts, {"x": ["a", 2, "c", 4]}) == (
        Fault("x.1", "expected a string, got 2"),
        Fault("x.3", "expected a string, got 4"),
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, [math.nan], {"deep": [{"er": -math.inf}]}, [dt.time()]])
def test_a_free_table_holds_nothing_that_could_not_be_identified(value: Any) -> None:
    (fault,) = told(Anything, {"x": {"a": value}})
    assert fault.path == "x"
    assert fault.message.startswith("expected a string, number, list or table, got ")


@frozen
class Inner:
    r: int = setting(8, **ANY)
    layers: tuple[str, ...] = setting(("q", "v"), **ANY)


@frozen
class Outer:
    base: str = reference("raw")
    more: tuple[str, ...] = reference("raw", default=())
    inner: Inner = setting(attrs.Factory(Inner), **ANY)
    perhaps: Inner | None = setting(None, **ANY)
    rows: int = setting(3, effect=Effect.UPSTREAM, why="it is the tokens' business")
    rate: float = setting(1.0, **ANY)


def test_settings_are_plain_and_leave_out_references_and_what_belongs_upstream() -> None:
    assert settings_of(Outer("raw.a")) == {
        "inner": {"r": 8, "layers": ["q", "v"]},
        "perhaps": None,
        "rate": 1.0,
    }


def test_a_whole_number_where_any_number_may_stand_is_that_number() -> None:
    settings = settings_of(structure({"base": "raw.a", "rate": 2}, Outer))
    assert (settings["rate"], type(settings["rate"])) == (2.0, float)


def test_defaults_fill_what_an_older_record_does_not_know() -> None:
    assert with_defaults({}, Outer) == settings_of(Outer("raw.a"))


def test_defaults_fill_tables_within_tables_and_overwrite_nothing() -> None:
    assert with_defaults({"inner": {"r": 2}, "perhaps": {"layers": []}, "gone": 1}, Outer) == {
        "inner": {"r": 2, "layers": ["q", "v"]},
        "perhaps": {"r": 8, "layers": []},
        "rate": 1.0,
        "gone": 1,
    }


def test_filling_in_defaults_leaves_the_record_alone() -> None:
    recorded: dict[str, Plain] = {"inner": {"r": 2}}
    with_defaults(recorded, Outer)
    assert recorded == {"inner": {"r": 2}}


def test_every_fault_is_found_at_once_however_deep() -> None:
    assert told(Outer, {"inner": {"r": "8", "layres": []}, "rate": "fast", "colour": 1}) == (
        Fault("base", "this field is required", 'It names a raw: `base = "raw.NAME"`.', "Missing field"),
        Fault("inner.r", 'expected a whole number, got "8"'),
        Fault("inner.layres", "there is no such field", "Did you mean `layers`?", "Unknown field"),
        Fault("rate", 'expected a number, got "fast"'),
        Fault(
            "colour", "there is no such field", "Known fields: base, more, inner, perhaps, rows, rate.", "Unknown field"
        ),
    )


@frozen
class Limited:
    above: float | None = setting(1.0, **ANY, validator=positive)
    from_zero: int = setting(0, **ANY, validator=not_negative)
    share: float = setting(0.0, **ANY, validator=fraction)
    names: tuple[str, ...] = setting(("a",), **ANY, validator=not_empty)
    seed: int = setting(0, **ANY, validator=numpy_seed)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"above": 0}, Fault("above", "expected a number above 0, got 0.0")),
        ({"from_zero": -1}, Fault("from_zero", "expected a number of 0 or more, got -1")),
        ({"share": 1}, Fault("share", "expected a number from 0 up to, but not including, 1, got 1.0")),
        ({"names": []}, Fault("names", "expected at least one entry, got nothing")),
        ({"seed": 2**32}, Fault("seed", "expected a number from 0 to 4294967295, got 4294967296")),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_the_reason(table: dict[str, Any], fault: Fault) -> None:
    assert told(Limited, table) == (fault,)


def test_limits_let_their_bounds_pass_and_what_was_left_out() -> None:
    table = {"above": None, "from_zero": 0, "share": 0.999, "names": [""], "seed": 2**32 - 1}
    assert structure(table, Limited) == Limited(None, 0, 0.999, ("",), 2**32 - 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ("a", '"a"'),
        (None, "nothing"),
        ([1, ["a"]], '[1, ["a"]]'),
        ({"a": 1}, "a table"),
        (2e-4, "0.0002"),
    ],
)
def test_values_are_shown_as_a_recipe_writes_them(value: Any, text: str) -> None:
    assert show(value) == text


def test_only_a_near_word_is_suggested() -> None:
    assert suggestion("lerning_rate", ["seed", "learning_rate"]) == "Did you mean `learning_rate`?"
    assert suggestion("zebra", ["seed", "learning_rate"]) == ""


KINDS = {
    "raw": Kind("raw", {"": Inner}, 1, "re-read", inputs=lambda *_: {}),
    "outer": Kind("outer", {"": Outer}, 1, "rebuild", inputs=lambda *_: {}),
}
RECIPE = '[raw.a]\n[raw.b]\n[outer.x]\nbase = "raw.a"\nmore = ["raw.a", "raw.b"]\n'


def meaning(text: str) -> str:
    return parse(text, "recipe.toml", KINDS).digest


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\n" + RECIPE,
        '[outer.x]\nmore = ["raw.a", "raw.b"]\nbase = "raw.a"\n[raw.b]\n[raw.a]\n',
        RECIPE + "rate = 1.0\n",
        RECIPE + "rate = 1\n",
        RECIPE + "[outer.x.inner]\nr = 8\n",
        RECIPE + 'inner = {layers = ["q", "v"]}\n',
        'outer.x.base = "raw.a"\nouter.x.more = ["raw.a", "raw.b"]\nraw = {a = {}, b = {}}\n',
    ],
    ids=["comment", "order", "default", "1 for 1.0", "default in a table", "inline table", "dotted keys"],
)
def test_a_recipe_that_means_the_same_has_the_same_digest(text: str) -> None:
    assert meaning(text) == meaning(RECIPE)


@pytest.mark.parametrize(
    "text",
    [
        RECIPE + "rate = 2\n",
        RECIPE + "[outer.x.inner]\nr = 9\n",
        RECIPE + "[outer.x.perhaps]\n",
        RECIPE.replace('["raw.a", "raw.b"]', '["raw.b", "raw.a"]'),
        RECIPE.replace('base = "raw.a"', 'base = "raw.b"'),
        RECIPE.replace("outer.x", "outer.y"),
        RECIPE + "[raw.c]\n",
    ],
    ids=["value", "value in a table", "table", "order of inputs", "input", "name", "resource"],
)
def test_a_recipe_that_means_something_else_has_another_digest(text: str) -> None:
    assert meaning(text) != meaning(RECIPE)


@frozen
class Batch:
    rows: int = setting(1, validator=positive, **ANY)
    share: float = setting(0.5, validator=fraction, **ANY)
    name: str = setting("a", **ANY)


@pytest.mark.parametrize("sound_first", [False, True])
def test_all_that_is_wrong_with_a_table_is_told_at_once(*, sound_first: bool) -> None:
    if sound_first:
        structure({"rows": 2, "share": 0.1, "name": "b"}, Batch)
    with pytest.raises(MisfitError) as caught:
        structure({"rows": 0, "share": 1.5, "name": "b"}, Batch)
    assert [one.path for one in caught.value.faults] == ["rows", "share"]
    with pytest.raises(MisfitError) as caught:
        structure({"rows": 0, "share": 1.5, "name": 3}, Batch)
    assert [one.path for one in caught.value.faults] == ["rows", "share", "name"]
