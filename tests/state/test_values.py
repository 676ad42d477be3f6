"""Values behave as those of attrs do."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import attrs
import pytest

from state.values import frozen, mutable


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


def test_a_class_is_finished_by_whatever_is_asked_of_it_first() -> None:
    @frozen
    class Unseen:
        x: int
        y: int = 0

    one = object.__new__(Unseen)  # as pickle makes one in a process that has made none
    vars(one).update(x=1, y=2)
    match one:
        case Unseen(x, y):
            assert (x, y) == (1, 2)
    assert one == Unseen(1, 2)
    assert [field.name for field in attrs.fields(Unseen)] == ["x", "y"]


def test_threads_may_ask_at_the_same_time() -> None:
    threads = 8
    for _ in range(20):

        @frozen
        class Unseen:
            x: int

        together = Barrier(threads)
        with ThreadPoolExecutor(threads) as pool:
            made = list(pool.map(lambda x, unseen=Unseen, start=together: (start.wait(), unseen(x))[1], range(threads)))
        assert made == [Unseen(x) for x in range(threads)]


def test_what_can_be_changed_equals_itself_alone() -> None:
    @mutable
    class Counter:
        count: int = 0

    one = Counter()
    one.count += 1
    assert one.count == 1
    assert one != Counter(1)
