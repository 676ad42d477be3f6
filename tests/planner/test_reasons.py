"""Chains of reasons lead to what was edited, and stay small where ways part and meet again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
