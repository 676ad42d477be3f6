"""Settings are compared by type and value, as deep as they go: what an identity tells apart, a plan tells apart."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import Factory, frozen

from planner.desired import Desired, action_key, same
from planner.diff import Action, Local, Situation, change
from planner.effects import Effect, setting
from planner.kind import Kind
from planner.reason import FieldChanged
from state.canonical import Plain
from state.record import Record, Status


@frozen
class Free:
    trainer: dict[str, Plain] = setting(Factory(dict), effect=Effect.REBUILD, why="it is passed on")


KIND = Kind("free", {"": Free}, 1, "rebuild", inputs=lambda *_: {})
LOCAL = Local(artifact_missing=lambda _: False, usable=lambda *_: True)


def desired(value: Any) -> Desired:
    return Desired("free.a", "free", {"trainer": {"x": value}}, {}, {}, 1, Free)


def recorded(value: Any) -> Record:
    one = desired(value)
    return Record("free", one.settings, {}, {}, 1, action_key(one, {}), Status.READY, output_digest="d")


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, 2), (1, 1.0), (1, True), (0, False), ([1], [1.0]), ([0, 1], [False, True]), ([[1]], [[True]]), ("1", 1)],
)
def test_values_that_differ_only_in_type_rebuild(before: Any, after: Any) -> None:
    situation = Situation(KIND, desired(after), {}, {}, {}, recorded(before), {}, LOCAL)
    found = change(situation)
    assert found.action is Action.REBUILD
    assert found.reasons == (FieldChanged("trainer.x", before, after, Effect.REBUILD, "it is passed on"),)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (0.0, -0.0), ([1, [2]], (1, (2,))), ({}, {})])
def test_values_that_are_the_same_are_reused(before: Any, after: Any) -> None:
    assert action_key(desired(before), {}) == action_key(desired(after), {})
    situation = Situation(KIND, desired(after), {}, {}, {}, recorded(before), {}, LOCAL)
    assert change(situation).action is Action.REUSE


@pytest.mark.parametrize("one", [1, 1.0, True, "1", None, [1], [1.0], [True], {"a": 1}, {"a": True}])
@pytest.mark.parametrize("other", [1, 1.0, True, "1", None, [1], [1.0], [True], {"a": 1}, {"a": True}])
def test_the_comparison_agrees_with_the_identity(one: Any, other: Any) -> None:
    equal = action_key(desired(one), {}) == action_key(desired(other), {})
    assert same(one, other) == equal


TWINS = """
[raw.data]
source = "data.txt"
[thing.one]
base = ["raw.data"]
[thing.two]
base = ["raw.data"]
"""


def test_two_resources_that_are_made_alike_are_made_once_and_then_left_alone(workshop: Any) -> None:
    workshop.write(TWINS, **{"data.txt": "rows"})
    assert dict(workshop.apply().done) == {"raw.data": "recorded", "thing.one": "built", "thing.two": "adopted"}
    assert workshop.actions() == {}


def test_of_two_alike_the_one_that_changes_leaves_the_other_alone(workshop: Any) -> None:
    workshop.write(TWINS, **{"data.txt": "rows"})
    workshop.apply()
    for changed in ("thing.one", "thing.two"):
        workshop.write(TWINS.replace(f"[{changed}]", f'[{changed}]\ncolour = "blue"'))
        assert workshop.actions() == {changed: "rebuild"}


def test_of_two_alike_the_one_that_is_renamed_is_adopted(workshop: Any) -> None:
    workshop.write(TWINS, **{"data.txt": "rows"})
    workshop.apply()
    workshop.write(TWINS.replace("thing.one", "thing.three"))
    assert workshop.actions() == {"thing.three": "adopt", "thing.one": "forget"}
    workshop.apply()
    assert workshop.build.built == []
    assert workshop.actions() == {}
