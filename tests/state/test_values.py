"""Values behave as those of attrs do."""

from __future__ import annotations

import pickle

import attrs
import pytest

from state.values import frozen


@frozen
class Point:
    x: int
    y: int = 0
    note: str = attrs.field(default="", eq=False)


@frozen
class Empty:
    pass


@frozen
class Deeper(Point):
    z: int = 0


@frozen
class Named:
    name: str

    def __repr__(self) -> str:
        return self.name


@frozen(eq=False)
class Unlike:
    x: int


def test_values_are_equal_where_their_compared_fields_are() -> None:
    assert Point(1, 2, "a") == Point(1, 2, "b")
    assert hash(Point(1, 2, "a")) == hash(Point(1, 2, "b"))
    assert Point(1, 2) != Point(1, 3)
    assert Empty() == Empty()
    assert len({Empty(), Empty(), Named("a"), Named("a"), Named("b")}) == 3


def test_values_of_different_classes_are_never_equal() -> None:
    assert Point(1, 2) != Deeper(1, 2)
    assert Deeper(1, 2, z=3) != Deeper(1, 2, z=4)


def test_a_class_may_ask_to_be_compared_by_identity() -> None:
    one = Unlike(1)
    assert one == one  # noqa: PLR0124  that is the point
    assert one != Unlike(1)
    assert len({one, Unlike(1)}) == 2


def test_values_cannot_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Point(1).x = 2  # type: ignore[misc]


def test_values_print_as_they_are_made() -> None:
    assert repr(Deeper(1, note="it's", z=3)) == """Deeper(x=1, y=0, note="it's", z=3)"""
    assert repr([Named("a"), Empty()]) == "[a, Empty()]"


def test_values_can_be_copied_and_matched() -> None:
    assert pickle.loads(pickle.dumps(Point(1, 2, "a"))).note == "a"  # noqa: S301  our own bytes
    assert attrs.evolve(Point(1, 2), y=3) == Point(1, 3)
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)
