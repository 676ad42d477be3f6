"""Gates: up, down, equal, missing metrics, and against measurements before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from executor.evaluation.gates import judge, parse
from state.canonical import Plain
from state.record import Measured, Status

NUMBERS = some.floats(-1e6, 1e6)


def measured(value: float | str, status: Status = Status.READY) -> Measured:
    return Measured("2026-11-01T10:00:00Z", "digest", status, {"f1": value})


def said(condition: str, value: Plain, *earlier: Measured) -> tuple[str, ...]:
    return judge({"gate": {"f1": condition}}, {} if value is None else {"f1": value}, earlier)


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        (">= 0.85", 0.85, ""),
        (">= 0.85", 0.8501, ""),
        (">= 0.85", 0.8499, "f1 is 0.8499, and the gate asks for >= 0.85"),
        ("> 0.85", 0.85, "f1 is 0.85, and the gate asks for > 0.85"),
        ("<= 3", 3, ""),
        ("< 3", 3, "f1 is 3, and the gate asks for < 3"),
        ("<=-1.5e-1", -0.2, ""),
        (">= 0", float("nan"), "f1 is nan, and the gate asks for >= 0"),
        (">= 0.85", None, "f1 was not measured, and the gate asks for >= 0.85"),
        (">= last", None, "f1 was not measured, and the gate asks for >= last"),
    ],
)
def test_a_fixed_limit(condition: str, value: Plain, expected: str) -> None:
    assert "; ".join(said(condition, value)) == expected


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        (">= last", 0.8, ""),
        (">= last", 0.9, ""),
        (">= last", 0.7, "f1 is 0.7, and the gate asks for >= last, where the last was 0.8"),
        (">= last - 0.01", 0.795, ""),
        (">= last - 0.01", 0.785, "f1 is 0.785, and the gate asks for >= last - 0.01, where the last was 0.8"),
        ("> last+0.05", 0.85, "f1 is 0.85, and the gate asks for > last+0.05, where the last was 0.8"),
        ("< last", 0.8, "f1 is 0.8, and the gate asks for < last, where the last was 0.8"),
        ("<= last", 0.8, ""),
    ],
)
def test_a_limit_against_the_last_value(condition: str, value: float, expected: str) -> None:
    assert "; ".join(said(condition, value, measured(0.5), measured(0.8))) == expected


def test_the_last_value_is_the_newest_that_passed() -> None:
    before = (measured(0.8), measured(0.2, Status.FAILED))
    assert said(">= last", 0.8, *before) == ()
    assert said(">= last", 0.5, *before)


@pytest.mark.parametrize("before", [[], [measured(0.9, Status.FAILED)], [measured("none")]])
def test_the_first_run_has_nothing_to_be_worse_than(before: list[Measured]) -> None:
    assert said(">= last - 0.01", 0.1, *before) == ()


@given(NUMBERS, NUMBERS)
def test_every_number_that_python_writes_is_read(limit: float, value: float) -> None:
    assert bool(said(f">= {limit!r}", value)) == (value < limit)
    sign = "+" if limit >= 0 else "-"
    assert bool(said(f"<= last {sign} {abs(limit)!r}", value, measured(1.0))) == (value > 1.0 + limit)


@pytest.mark.parametrize(
    "text", ["", "0.9", ">= ", "== 1", ">= last last", ">= last * 2", ">= 1e", ">= nan", "last >= 1"]
)
def test_what_is_no_condition_is_told(text: str) -> None:
    assert parse(text) is None
