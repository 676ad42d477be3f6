"""Settings are compared by type and value, as deep as they go: what an identity tells apart, a plan tells apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import Factory, evolve, frozen

from planner.desired import Desired, Given, action_key, same
from planner.diff import Action, Change, change
from planner.effects import Effect, reference, setting
from planner.kind import Kind, Source
from planner.reason import (
    Failed,
    FieldChanged,
    InputChanged,
    Interrupted,
    NoCheckpoint,
    OtherLayout,
    OtherLength,
    Reason,
    StoppedEarly,
)
from planner.schedule import Schedule
from planner.situation import Local, Situation
from planner.structure import settings_of
from state.canonical import Plain
from state.record import Checkpoint, InputRecord, Record, Status


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


@pytest.mark.parametrize("before", [0, 1, 1.0, True, False, "1", None, [1], [1.0], [True], {"a": 1}, {"a": 1.0}])
@pytest.mark.parametrize("after", [0, 1, 1.0, True, False, "1", None, [1], [1.0], [True], {"a": 1}, {"a": 1.0}])
def test_whole_settings_are_as_equal_as_their_values(before: Any, after: Any) -> None:
    wanted = evolve(desired(0), settings={"trainer": {}, "x": after})
    record = evolve(recorded(0), settings={"trainer": {}, "x": before})
    found = change(Situation(KIND, wanted, {}, {}, {}, record, {}, LOCAL))
    assert found.action is (Action.REUSE if same(before, after) else Action.REBUILD)


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


def _selects(settings: Mapping[str, Plain], _: Mapping[str, Plain]) -> Effect:
    return Effect.REBUILD if settings["patience"] else Effect.RUNTIME


@frozen
class Run:
    patience: int = setting(0, effect=_selects, why="it decides the end")
    every: int = setting(1, effect=_selects, why="it decides the end")
    steps: int = setting(10, effect=Effect.LENGTH, why="it is longer")
    scheduler: str = setting("constant", effect=Effect.LENGTH, why="for the test")


RUN = Kind("run", {"": Run}, 1, "retrain", inputs=lambda *_: {}, schedule=lambda settings, _: _schedule(settings))


def _schedule(settings: Mapping[str, Any]) -> Schedule:
    return Schedule(settings["scheduler"], 1.0, 0, settings["steps"])


def _changed(before: Run, after: Run, **record: Any) -> Change:
    settings = [settings_of(one) for one in (before, after)]
    wanted = Desired("run.a", "run", settings[1], {}, {}, 1, Run)
    made = Record("run", settings[0], {}, {}, 1, "key", **{"status": Status.READY, "output_digest": "d", **record})
    return change(Situation(RUN, wanted, {}, {}, {}, made, {}, LOCAL))


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [
        (Run(patience=0, every=1), Run(patience=0, every=2), Action.UPDATE),
        (Run(patience=3, every=1), Run(patience=3, every=2), Action.REBUILD),
        (Run(patience=0, every=1), Run(patience=3, every=1), Action.REBUILD),
        (Run(patience=3, every=1), Run(patience=0, every=1), Action.REBUILD),
        (Run(patience=3, every=1), Run(patience=0, every=2), Action.REBUILD),
    ],
)
def test_a_field_decides_if_it_does_now_or_did_then(before: Run, after: Run, action: Action) -> None:
    assert _changed(before, after).action is action


KEPT = tuple(Checkpoint(step, f"checkpoint-{step}", "d") for step in (2, 4))


@pytest.mark.parametrize(
    ("scheduler", "steps", "expected"),
    [
        ("constant", 20, (Action.UPDATE, None)),
        ("constant", 4, (Action.UPDATE, None)),
        ("constant", 3, (Action.EXTEND, 2)),
        ("linear", 20, (Action.REBUILD, None)),
    ],
)
def test_a_run_that_ended_early_is_never_continued(
    scheduler: str, steps: int, expected: tuple[Action, int | None]
) -> None:
    before = Run(patience=1, steps=10, scheduler=scheduler)
    found = _changed(before, evolve(before, steps=steps), checkpoints=KEPT, facts={"stopped_early_at": 4})
    assert (found.action, found.resume_from.step if found.resume_from else None) == expected
    assert (StoppedEarly(4) in found.reasons) is (found.action is Action.UPDATE)


ELSEWHERE = evolve(KEPT[1], format="zero-3", world_size=2)


@pytest.mark.parametrize(
    ("status", "checkpoints", "steps", "reasons"),
    [
        (Status.INTERRUPTED, (), 10, (Interrupted(0),)),
        (Status.INTERRUPTED, KEPT, 10, (Interrupted(4),)),
        (Status.INTERRUPTED, (ELSEWHERE,), 10, (Interrupted(0, 4), OtherLayout(4, "zero-3 on 2 processes", "torch"))),
        (Status.INTERRUPTED, KEPT, 1, (Interrupted(0, 4), NoCheckpoint(), OtherLength(10, 1))),
        (Status.FAILED, (), 10, (Failed("full"), NoCheckpoint())),
        (Status.FAILED, KEPT, 1, (Failed("full"), NoCheckpoint(), OtherLength(10, 1))),
    ],
)
def test_an_attempt_that_did_not_end_well_says_how_far_it_came_and_why_it_does_not_go_on(
    status: Status, checkpoints: tuple[Checkpoint, ...], steps: int, reasons: tuple[Reason, ...]
) -> None:
    given = {"status": status, "checkpoints": checkpoints, "error": "full", "output_digest": ""}
    found = _changed(Run(), Run(steps=steps), **given)
    assert tuple(one for one in found.reasons if not isinstance(one, FieldChanged)) == reasons


def test_changed_fields_are_told_as_they_are_declared() -> None:
    found = _changed(Run(), Run(patience=1, every=2, steps=20, scheduler="linear"))
    told = [one.field for one in found.reasons if isinstance(one, FieldChanged)]
    assert told == ["patience", "every", "steps", "scheduler"]


@frozen
class Judged:
    rows: str = reference("raw")
    tests: tuple[str, ...] = reference("raw", default=(), effect=_selects, why="they decide the end")
    patience: int = setting(0, effect=_selects, why="it decides the end")


JUDGED = Kind("judged", {"": Judged}, 1, "retrain", inputs=lambda *_: {})


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize(
    ("patience", "field", "action"),
    [
        ((0, 0), "tests", Action.UPDATE),
        ((3, 3), "tests", Action.REBUILD),
        ((3, 0), "tests", Action.REBUILD),
        ((0, 0), "rows", Action.REBUILD),
    ],
)
def test_an_input_decides_where_its_field_does(
    patience: tuple[int, int], field: str, action: Action, *, unknown: bool
) -> None:
    before, after = (settings_of(Judged(rows="raw.a", patience=one)) for one in patience)
    digests = {"rows": ("r",), "tests": ("t",)}
    wanted = Desired("judged.a", "judged", after, {}, {}, 1, Judged)
    recorded = {name: (InputRecord(f"raw.{name}", "", digest),) for name, (digest,) in digests.items()}
    made = Record("judged", before, {}, recorded, 1, "key", Status.READY, output_digest="d")
    given = {
        name: (Given(Source(f"raw.{name}"), None if unknown and name == field else f"{digest}{'2' * (name == field)}"),)
        for name, (digest,) in digests.items()
    }
    found = change(Situation(JUDGED, wanted, given, {}, {}, made, {}, LOCAL))
    assert found.action is action
    assert any(isinstance(one, InputChanged) and one.field == field for one in found.reasons)
    keys = {action_key(wanted, {**digests, field: (one,)}) for one in ("1", "2")}
    assert len(keys) == (1 if field == "tests" and not patience[1] else 2)
