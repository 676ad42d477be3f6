"""Columns that a recipe names and rows may lack: one that no row has is a slip, which would go by without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from executor import formats
from executor.data.dataset_fields import Dataset, Filter, as_they_lie
from executor.data.message_fields import objects
from executor.data.rows import Row
from executor.sources import origin
from executor.sources.selection import MET_WITHOUT, has_field, holds, is_compared
from state.canonical import Plain
from state.values import frozen
from state.wording import suggestion

_OPTIONAL = ("field_system", "field_tools", "field_input")
OTHERS = "Rows hold values of another kind there: texts stand in quotes, numbers, true and false do not."
_EVERY = ("role", "content")
"""What every message must have, so that another name of it is missed by the first row."""


@frozen
class Named:
    """A name that a recipe gives."""

    setting: str
    """The dataset's field that gives it."""
    column: str
    inside: bool = False
    """Whether it is a property of messages, and not a field of rows."""
    condition: Filter | None = None
    """The condition that names it, if one does."""

    def is_in(self, values: Mapping[str, Plain]) -> bool:
        """Whether a row has it, and something in it that a condition can be compared with."""
        if self.condition is not None:
            return is_compared(self.condition, values)
        return self.column in _properties(values) if self.inside else has_field(values, self.column)


def optional(dataset: Dataset) -> tuple[Named, ...]:
    """The names that sound rows may all lack without being broken."""
    read, default = formats.load()[dataset.type].fields, Dataset(source="-")
    conditions = (one for one in dataset.filters if one.operator in MET_WITHOUT)
    named = [Named("filters", one.field, condition=one) for one in conditions]
    given = [name for name in _OPTIONAL if name in read and getattr(dataset, name) != getattr(default, name)]
    named += [Named(name, getattr(dataset, name)) for name in given]
    if "message_property_mappings" in read:
        theirs = [str(one) for ours, one in dataset.message_property_mappings.items() if ours not in _EVERY]
        named += [Named("message_property_mappings", one, inside=True) for one in theirs]
    if "message_field_training" in read and dataset.message_field_training:
        named.append(Named("message_field_training", dataset.message_field_training, inside=True))
    return tuple(dict.fromkeys(named))


def of_filters(dataset: Dataset) -> tuple[Named, ...]:
    """The names that conditions look at."""
    return tuple(dict.fromkeys(Named("filters", one.field) for one in dataset.filters))


def unseen(named: Iterable[Named], row: object) -> tuple[Named, ...]:
    """Those of the names that a row has not."""
    return tuple(one for one in named if not (isinstance(row, Row) and one.is_in(row.values)))


def absent(named: Iterable[Named], dataset: Dataset, folder: Path) -> dict[Named, str]:
    """Those of the names that no row has, be it chosen or not; each with a sentence on what may be meant, or ""."""
    left = tuple(named)
    held, fields, properties = set[Named](), dict[str, None](), dict[str, None]()
    for row in origin.rows(as_they_lie(dataset), folder) if left else ():
        left = unseen(left, row)
        if isinstance(row, Row):
            fields |= dict.fromkeys(_fields(row.values))
            properties |= dict.fromkeys(_properties(row.values))
            held |= {one for one in left if one.condition is not None and holds(row.values, one.column)}
    empty = [one for one in left if one.condition is not None and one.column in fields and one not in held]
    known = {one: list(properties if one.inside else fields) for one in left if one not in empty}
    return {one: OTHERS if one in held else suggestion(one.column, names) for one, names in known.items()}


def _fields(values: Mapping[str, Plain]) -> Iterator[str]:
    """The fields of a row, and those of tables in it by their dotted paths."""
    for name, value in values.items():
        yield name
        if isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in _fields(value))


def _properties(values: Mapping[str, Plain]) -> Iterator[str]:
    """The properties of everything that lists in a row hold, such as messages."""
    for value in map(objects, values.values()):
        for one in value if isinstance(value, list) else ():
            yield from one if isinstance(one, Mapping) else ()
