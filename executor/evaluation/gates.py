"""Gates of evaluations: conditions on metrics, absolute or against what was last good."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import cast

from state.canonical import Plain
from state.record import Measured, Status
from state.values import frozen

COMPARISONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
NUMBER = r"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?"
_CONDITION = re.compile(
    rf"\s*(?P<sign>>=|>|<=|<)\s*(?:(?P<limit>[+-]?{NUMBER})|(?P<last>last)(?:\s*(?P<step>[+-]\s*{NUMBER}))?)\s*"
)


@frozen
class Condition:
    """What a metric must be: `>= 0.85`, or against the last value that passed, `>= last - 0.01`."""

    sign: str
    limit: float
    """The bound; with `relative`, what is added to the last value."""
    relative: bool


def parse(text: str) -> Condition | None:
    """The condition that a text says; None if it says none."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        return None
    if match["last"]:
        return Condition(match["sign"], float((match["step"] or "0").replace(" ", "")), relative=True)
    return Condition(match["sign"], float(match["limit"]), relative=False)


def judge(settings: Mapping[str, Plain], metrics: Mapping[str, Plain], earlier: Sequence[Measured]) -> tuple[str, ...]:
    """The conditions of the gate that the metrics do not meet, each as a sentence.

    A metric that was not measured fails. Where nothing passed before, there is nothing to be worse than.
    """
    gate = cast("Mapping[str, str]", settings.get("gate", {}))
    return tuple(filter(None, (_failure(name, text, metrics, earlier) for name, text in gate.items())))


def _failure(name: str, text: str, metrics: Mapping[str, Plain], earlier: Sequence[Measured]) -> str:
    condition, value = cast("Condition", parse(text)), metrics.get(name)
    if not isinstance(value, int | float):
        return f"{name} was not measured, and the gate asks for {text.strip()}"
    limit, said = condition.limit, f"{condition.sign} {condition.limit:g}"
    if condition.relative:
        last = last_value(name, earlier)
        if last is None:
            return ""
        limit, said = last + condition.limit, f"{text.strip()}, where the last was {last:.4g}"
    return "" if COMPARISONS[condition.sign](value, limit) else f"{name} is {value:.4g}, and the gate asks for {said}"


def last_value(name: str, earlier: Sequence[Measured]) -> float | None:
    """A metric's value in the newest measurement that passed its gate and has it; None if there is none."""
    passed = (one.metrics.get(name) for one in reversed(earlier) if one.status is Status.READY)
    return next((float(one) for one in passed if isinstance(one, int | float)), None)
