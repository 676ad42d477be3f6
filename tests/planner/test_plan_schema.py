"""The published schema of a plan: made from the classes, true of every plan, and able to tell a wrong one."""

from __future__ import annotations

import json
import runpy
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as some
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no stubs of its own

from planner import planfile, reason
from planner.desired import Given
from planner.diff import Action
from planner.kind import Source
from planner.overrides import Overrides
from planner.plan import Plan, Selection, StateVersion, Step
from planner.reason import CODES, InputChanged, Reason
from state.canonical import Plain
from state.diagnostic import Diagnostic, Place, Severity
from state.record import Checkpoint

ROOT = Path(__file__).parent.parent.parent
SCHEMA = json.loads((ROOT / "docs" / "reference" / "plan.schema.json").read_text(encoding="utf-8"))
GOLDENS = sorted((Path(__file__).parent / "golden").glob("*.plan.json"))

WORDS = some.text(some.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = some.floats(allow_nan=False, allow_infinity=False)
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | NUMBERS | WORDS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)
BY_TYPE: dict[object, some.SearchStrategy[Any]] = {
    str: WORDS,
    int: some.integers(min_value=0, max_value=2**53),
    float: NUMBERS,
    bool: some.booleans(),
    Plain: VALUES,
}


def closed(schema: Any) -> Any:
    """The schema without tolerance for what later versions add: what it does not name is wrong."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    tightened = {name: closed(value) for name, value in schema.items()}
    whole = schema.get("type") == "object" and "properties" in schema and "allOf" not in schema
    return {**tightened, "additionalProperties": False} if whole else tightened


STRICT = Draft202012Validator(closed(SCHEMA))


def a_value(kind: Any) -> some.SearchStrategy[Any]:
    """Any value of a field's type."""
    arguments = get_args(kind)
    if InputChanged in arguments:
        return REASONS
    if kind in BY_TYPE:
        return BY_TYPE[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return some.sampled_from(kind)
    if get_origin(kind) is tuple:
        return some.lists(a_value(arguments[0]), max_size=2).map(tuple)
    if isinstance(kind, types.UnionType):
        return some.one_of([some.none() if one is types.NoneType else a_value(one) for one in arguments])
    return some.builds(kind, **{one.name: a_value(one.type) for one in attrs.fields(kind)})


def an_instance(kind: type) -> some.SearchStrategy[Any]:
    resolved = attrs.resolve_types(kind, vars(reason))
    return some.builds(kind, **{one.name: a_value(one.type) for one in attrs.fields(resolved)})


REASONS: some.SearchStrategy[Reason] = some.deferred(lambda: some.one_of([an_instance(kind) for kind in CODES]))
STEPS = some.builds(
    Step,
    address=WORDS,
    kind=WORDS,
    action=some.sampled_from(Action),
    conditional=some.booleans(),
    reasons=some.lists(REASONS, max_size=3).map(tuple),
    resume_from=some.none() | an_instance(Checkpoint),
    settings=some.dictionaries(WORDS, VALUES, max_size=3),
    content=some.dictionaries(WORDS, WORDS, max_size=2),
    inputs=some.dictionaries(
        WORDS,
        some.lists(some.builds(Given, some.builds(Source, WORDS, WORDS), some.none() | WORDS), max_size=2).map(tuple),
        max_size=2,
    ),
    code=BY_TYPE[int],
    facts=some.dictionaries(WORDS, VALUES, max_size=2),
    moved_from=WORDS,
    estimate=some.sampled_from([{}, {"seconds": 5.5, "gpu_seconds": 11, "basis": "the last run"}]),
)
ADDRESSES = some.lists(WORDS, max_size=2).map(tuple)
PLACES = some.builds(Place, WORDS, BY_TYPE[int], BY_TYPE[int])
DIAGNOSTICS = some.builds(Diagnostic, WORDS, WORDS, WORDS, PLACES, some.sampled_from(Severity))
PLANS = some.builds(
    Plan,
    recipe=WORDS,
    meaning=some.builds(planfile.SavedMeaning, WORDS),
    state=an_instance(StateVersion),
    steps=some.lists(STEPS, max_size=3).map(tuple),
    overrides=some.builds(Overrides, some.dictionaries(WORDS, WORDS, max_size=2), ADDRESSES),
    selection=some.builds(Selection, ADDRESSES, ADDRESSES, ADDRESSES),
    left_out=ADDRESSES,
    diagnostics=some.lists(DIAGNOSTICS, max_size=2).map(tuple),
)


def test_the_schema_is_that_of_the_classes() -> None:
    assert runpy.run_path(str(ROOT / "docs" / "make_plan_schema.py"))["schema"]() == SCHEMA


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.name)
def test_every_golden_plan_fits_the_schema(path: Path) -> None:
    STRICT.validate(json.loads(path.read_text(encoding="utf-8")))


@given(PLANS)
def test_every_plan_fits_the_schema(plan: Plan) -> None:
    STRICT.validate(json.loads(planfile.dumps(plan, "recipe.toml")))


def test_the_plans_of_a_recipe_s_life_fit_the_schema(workshop: Any) -> None:
    recipe = '[raw.data]\nsource = "d.txt"\n[thing.a]\nbase = ["raw.data"]\n[thing.b]\nbase = ["thing.a"]\n'
    for edited in (recipe, recipe + "steps = 8\n", recipe.replace("thing.b", "thing.c"), recipe + 'note = "x"\n'):
        workshop.write(edited, **{"d.txt": "rows"})
        STRICT.validate(planfile.to_plain(workshop.plan()))
        workshop.apply()
        STRICT.validate(planfile.to_plain(workshop.plan()))


def test_readers_may_meet_what_a_later_version_adds() -> None:
    plan = json.loads(GOLDENS[0].read_text(encoding="utf-8"))
    plan["later"] = 1
    plan["steps"][1]["reasons"] = [{"code": "later", "why": 7}]
    plan["steps"][1]["later"] = 1
    Draft202012Validator(SCHEMA).validate(plan)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], "tune-plan/2"),
        (["plan_digest"], "short"),
        (["summary"], {}),
        (["steps", 1, "action"], "surprise"),
        (["steps", 1, "conditional"], None),
        (["steps", 1, "reasons", 0, "effect"], "surprise"),
        (["steps", 1, "reasons", 0, "field"], 7),
        (["steps", 2, "reasons", 0, "because", 0, "why"], None),
        (["steps", 1, "inputs", "model", 0, "digest"], 7),
        (["steps", 1, "resume_from"], {"step": 1}),
        (["diagnostics", 0, "severity"], "fatal"),
        (["diagnostics", 0, "place"], {"file": "recipe.toml"}),
    ],
)
def test_a_wrong_plan_does_not_fit(path: list[Any], value: object) -> None:
    plan = json.loads(GOLDENS[0].read_text(encoding="utf-8"))
    inside = plan
    for name in path[:-1]:
        inside = inside[name]
    assert path[-1] in (inside if isinstance(inside, dict) else range(len(inside)))
    inside[path[-1]] = value
    assert not Draft202012Validator(SCHEMA).is_valid(plan)
