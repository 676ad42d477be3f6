"""`[train.x.matrix]`: one table that stands for several, one for each combination of the values that it lists."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from planner.written import replaced
from state.shapes import Fault
from state.values import frozen
from state.wording import show

MATRIX = "matrix"
MOST_MEMBERS = 1000
_LABEL = r"[A-Za-z0-9_./@+:=,\[\]-]+"


@frozen
class Member:
    """One resource of a table, with the values that make it differ from its siblings."""

    name: str
    table: Mapping[str, Any]
    coordinates: tuple[tuple[str, str], ...] = ()
    """Varied fields by dotted path, each with its value as the name says it; empty where nothing is varied."""

    def written_at(self, path: str) -> str:
        """Where below the table a field of this member was really written."""
        varied = any(path == one or path.startswith(f"{one}.") for one, _ in self.coordinates)
        return f"{MATRIX}.{path}" if varied else path


def member_name(name: str, coordinates: Sequence[tuple[str, str]]) -> str:
    """The name of a table and some coordinates: `x[learning_rate=0.0001,seed=1]`."""
    return f"{name}[{','.join(f'{path}={label}' for path, label in coordinates)}]" if coordinates else name


def members(name: str, table: Mapping[str, Any]) -> tuple[tuple[Member, ...], tuple[Fault, ...]]:
    """The resources that a table stands for: itself, unless it has a matrix; or what is wrong with that."""
    if MATRIX not in table:
        return (Member(name, table),), ()
    matrix = table[MATRIX]
    rest = {key: value for key, value in table.items() if key != MATRIX}
    if not isinstance(matrix, Mapping) or not matrix:
        return (), (Fault(MATRIX, f"expected a table, got {show(matrix)}", _HINT),)
    axes = dict(_axes(matrix))
    faults = tuple(one for path, values in axes.items() for one in _faults(path, values))
    if faults:
        return (), faults
    combinations = itertools.product(*([(path, value) for value in values] for path, values in axes.items()))
    made = tuple(_member(name, rest, one) for one in itertools.islice(combinations, MOST_MEMBERS + 1))
    if len(made) > MOST_MEMBERS:
        return (), (Fault(MATRIX, f"it stands for more than {MOST_MEMBERS} resources", "List fewer values."),)
    return made, ()


_HINT = "Write a list of values for each field: `learning_rate = [1e-4, 2e-4]`."


def _axes(matrix: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The varied fields by dotted path, whether they stand in nested tables or under dotted keys in quotes."""
    for name, value in matrix.items():
        if isinstance(value, Mapping):
            yield from _axes(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _faults(path: str, values: object) -> Iterator[Fault]:
    where = f"{MATRIX}.{path}"
    if not isinstance(values, list) or not values:
        yield Fault(where, f"expected a list of values, got {show(values)}", _HINT)
        return
    labels = [_label(value) for value in values]
    for value, label in zip(values, labels, strict=True):
        if label is None:
            hint = "Addresses are made of the values: numbers, true, false, names and paths will do, or lists of these."
            yield Fault(where, f"{show(value)} cannot be part of an address", hint)
    for label in sorted({one for one in labels if one is not None and labels.count(one) > 1}):
        yield Fault(where, f"{label} is listed twice", "Remove one of both.")


def _label(value: object) -> str | None:
    """A value as an address says it; None where it cannot."""
    if isinstance(value, list):
        parts = [_label(one) for one in value]
        return "+".join(one for one in parts if one) if parts and all(parts) else None
    if not isinstance(value, str | int | float):
        return None
    text = value if isinstance(value, str) else show(value)
    return text if re.fullmatch(_LABEL, text) else None


def _member(name: str, rest: Mapping[str, Any], combination: Sequence[tuple[str, Any]]) -> Member:
    table: Any = rest
    for path, value in combination:
        table = replaced(table, path.split("."), value)
    coordinates = tuple((path, _label(value) or "") for path, value in combination)
    return Member(member_name(name, coordinates), table, coordinates)
