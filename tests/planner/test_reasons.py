"""Chains of reasons lead to what was edited, and stay small where ways part and meet again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from planner.effects import Effect
from planner.reason import FieldChanged, InputChanged, Reason, told_once

LAYERS = 12


def everything(reasons: tuple[Reason, ...]) -> Iterator[Reason]:
    for reason in reasons:
        yield reason
        if isinstance(reason, InputChanged):
            yield from everything(reason.because)


def lattice() -> str:
    """Layers of two things, each made from both things of the layer before."""
    tables = ["[thing.a0]\n", "[thing.b0]\n"]
    for number in range(1, LAYERS):
        base = f'base = ["thing.a{number - 1}", "thing.b{number - 1}"]\n'
        tables += [f"[thing.{name}{number}]\n{base}" for name in "ab"]
    return "".join(tables)


def test_a_lattice_of_inputs_is_told_without_repeating_itself(workshop: Any) -> None:
    workshop.write(lattice())
    workshop.apply()
    workshop.write(lattice().replace("[thing.b0]\n", '[thing.b0]\ncolour = "blue"\n'))
    plan = workshop.plan()
    edited = FieldChanged("colour", "red", "blue", Effect.REBUILD, "it looks different")
    assert len(plan.changes) == 2 * LAYERS - 1
    for step in plan.changes:
        told = list(everything(step.reasons))
        assert edited in told
        assert len(told) <= 8 * LAYERS
    last = plan.steps[-1].reasons
    assert [one.input for one in last if isinstance(one, InputChanged)] == [
        f"thing.{name}{LAYERS - 2}" for name in "ab"
    ]
    assert all(edited in everything(one.because) for one in last if isinstance(one, InputChanged))


def test_one_way_is_told_as_it_is() -> None:
    inner = InputChanged("base", "thing.a", certain=True, because=(FieldChanged("x", 1, 2, Effect.REBUILD, "y"),))
    way = (InputChanged("base", "thing.b", certain=False, because=(inner,)),)
    assert told_once(way) is way


def test_a_cause_is_told_where_it_comes_first() -> None:
    origin = InputChanged("base", "thing.a", certain=True, because=(FieldChanged("x", 1, 2, Effect.REBUILD, "y"),))
    again = InputChanged("base", "thing.a", certain=True, because=())
    one, other = (InputChanged("base", f"thing.{name}", certain=False, because=(origin,)) for name in "bc")
    assert told_once((one, other)) == (one, InputChanged("base", "thing.c", certain=False, because=(again,)))


THREE = '[raw.a]\nsource = "a"\n[raw.b]\nsource = "b"\n[raw.c]\nsource = "c"\n[thing.top]\nbase = {named}\n'


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (["raw.a", "raw.c"], [("raw.c", "replaced", "raw.b")]),
        (["raw.a"], [("raw.b", "removed", "")]),
        (["raw.b"], [("raw.b", "reordered", ""), ("raw.a", "removed", "")]),
        (["raw.a", "raw.b", "raw.c"], [("raw.c", "added", "")]),
        (["raw.c", "raw.a", "raw.b"], [("raw.c", "added", ""), ("raw.a", "reordered", ""), ("raw.b", "reordered", "")]),
    ],
)
def test_an_input_that_is_named_otherwise_is_not_said_to_have_changed(
    workshop: Any, named: list[str], told: list[tuple[str, str, str]]
) -> None:
    content = {"a": "1", "b": "2", "c": "3"}
    workshop.write(THREE.format(named=json.dumps(["raw.a", "raw.b"])), **content)
    workshop.apply()
    workshop.write(THREE.format(named=json.dumps(named)), **content)
    (step,) = workshop.plan().changes
    found = [one for one in step.reasons if isinstance(one, InputChanged)]
    assert [(one.input, one.naming, one.before) for one in found[: len(told)]] == told
    assert all(one.certain and not one.because for one in found)


def test_data_that_changed_under_its_name_is_said_to_have_changed(workshop: Any) -> None:
    workshop.write(THREE.format(named='["raw.a"]'), a="1", b="2", c="3")
    workshop.apply()
    workshop.write(THREE.format(named='["raw.a"]'), a="other", b="2", c="3")
    (reason,) = workshop.plan().steps[-1].reasons
    assert (reason.input, reason.naming) == ("raw.a", "")
