"""What is written can be read, whatever class it is of, and what does not fit is told."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import attrs
import pytest

from executor.workers import events, task, world
from state import artifacts, history, journal, owner, record
from state.canonical import Plain
from state.plain import from_plain, record_to_plain
from state.shapes import Fault, MisfitError, shapes
from state.values import frozen

MODULES = (artifacts, events, history, journal, owner, record, task, world)
NEVER_READ = (history.History, journal.Journal, record.State)
CLASSES = [
    one
    for module in MODULES
    for one in vars(module).values()
    if isinstance(one, type) and attrs.has(one) and one.__module__ == module.__name__ and one not in NEVER_READ
]


class Colour(StrEnum):
    RED = "red"


@frozen
class Leaf:
    colour: Colour
    share: float = 0.0


@frozen
class Tree:
    leaves: tuple[Leaf, ...]
    by_name: dict[str, int] | None = None


def told(value: Any, kind: Any, *, finite: bool = True) -> tuple[Fault, ...]:
    with pytest.raises(MisfitError) as caught:
        shapes(numbers_are_finite=finite).structure(value, kind)
    return caught.value.faults


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__qualname__)
def test_every_field_of_what_is_written_has_a_shape(kind: Any) -> None:
    fields = attrs.fields(attrs.resolve_types(kind))
    assert all(shapes(numbers_are_finite=False).get_structure_hook(one.type) for one in fields)


def test_a_value_comes_back_as_it_was() -> None:
    one = Tree((Leaf(Colour.RED, 0.5), Leaf(Colour.RED)))
    plain: dict[str, Plain] = {
        "leaves": [{"colour": "red", "share": 0.5}, {"colour": "red", "share": 0.0}],
        "by_name": None,
    }
    assert record_to_plain(one) == plain
    assert from_plain(plain, Tree) == one


def test_faults_lie_where_they_are() -> None:
    value = {"leaves": [{"colour": "red"}, {"colour": "blue", "share": "all"}, 3], "twigs": 1}
    assert told(value, Tree) == (
        Fault("leaves.1.colour", 'expected one of "red", got "blue"'),
        Fault("leaves.1.share", 'expected a number, got "all"'),
        Fault("leaves.2", "expected a table, got 3"),
        Fault("twigs", "there is no such field", "Known fields: leaves, by_name.", "Unknown field"),
    )
    assert told([], Tree) == (Fault("", "expected a table, got []"),)


def test_numbers_without_end_are_what_a_loss_can_be_and_a_recipe_cannot_say() -> None:
    value = {"colour": "red", "share": float("inf")}
    assert shapes(numbers_are_finite=False).structure(value, Leaf).share == float("inf")
    assert told(value, Leaf) == (Fault("share", "expected a number, got inf"),)
    assert told({**value, "share": 10**400}, Leaf, finite=False)[0].path == "share"
