"""Columns that a recipe names and rows may lack: one that no row has is a slip, which would go by without a word."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import cast

from executor import formats
from executor.data.dataset_fields import Dataset, Filter, as_they_lie
from executor.data.message_fields import USUAL, objects
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


class What(StrEnum):
    """What a recipe names, as messages call it."""

    FIELD = "field"
    PROPERTY = "property"
    ROLE = "role"


@frozen
class Named:
    """A name that a recipe gives, or several of which one is enough."""

    setting: str
    """The dataset's field that gives it."""
    names: tuple[str, ...]
    what: What = What.FIELD
    condition: Filter | None = None
    """The condition that names it, if one does."""

    def is_in(self, values: Mapping[str, Plain]) -> bool:
        """Whether a row has it, and something in it that a condition can be compared with."""
        if self.condition is not None:
            return is_compared(self.condition, values)
        if self.what is What.FIELD:
            return any(has_field(values, one) for one in self.names)
        found = _properties(values) if self.what is What.PROPERTY else _words(values)
        return any(one in self.names for one in found)


def optional(dataset: Dataset) -> tuple[Named, ...]:
    """The names that sound rows may all lack without being broken."""
    read, default = formats.load()[dataset.type].fields, Dataset(source="-")
    conditions = (one for one in dataset.filters if one.operator in MET_WITHOUT)
    named = [Named("filters", (one.field,), condition=one) for one in conditions]
    given = [name for name in _OPTIONAL if name in read and getattr(dataset, name) != getattr(default, name)]
    named += [Named(name, (getattr(dataset, name),)) for name in given]
    if "message_property_mappings" in read:
        theirs = [str(one) for ours, one in dataset.message_property_mappings.items() if ours not in _EVERY]
        named += [Named("message_property_mappings", (one,), What.PROPERTY) for one in theirs]
    if "message_field_training" in read and dataset.message_field_training:
        named.append(Named("message_field_training", (dataset.message_field_training,), What.PROPERTY))
    if "roles" in read:
        groups = (tuple(cast("list[str]", group)) for group in dataset.roles.values())
        named += [Named("roles", group, What.ROLE) for group in groups if group]
    return tuple(dict.fromkeys(named))


def of_filters(dataset: Dataset) -> tuple[Named, ...]:
    """The names that conditions look at."""
    return tuple(dict.fromkeys(Named("filters", (one.field,)) for one in dataset.filters))


def unseen(named: Iterable[Named], row: object) -> tuple[Named, ...]:
    """Those of the names that a row has not."""
    return tuple(one for one in named if not (isinstance(row, Row) and one.is_in(row.values)))


def absent(named: Iterable[Named], dataset: Dataset, folder: Path) -> dict[Named, str]:
    """Those of the names that no row has, be it chosen or not; each with a sentence on what may be meant, or ""."""
    left = tuple(named)
    held, known = set[Named](), {what: dict[str, None]() for what in What}
    for row in origin.rows(as_they_lie(dataset), folder) if left else ():
        left = unseen(left, row)
        if isinstance(row, Row):
            known[What.FIELD] |= dict.fromkeys(_fields(row.values))
            known[What.PROPERTY] |= dict.fromkeys(_properties(row.values))
            known[What.ROLE] |= dict.fromkeys(_strange(row.values, dataset))
            held |= {one for one in left if one.condition is not None and holds(row.values, one.condition.field)}
    return {
        one: OTHERS if one in held else suggestion(one.names[0], list(known[one.what]))
        for one in left
        if one in held or not _is_harmless(one, known[one.what])
    }


def _is_harmless(named: Named, known: Collection[str]) -> bool:
    """Whether it does not matter that no row has it: a condition on nulls, or a role beside which all are known."""
    if named.what is What.ROLE:
        return not known
    return named.condition is not None and named.condition.field in known


def _fields(values: Mapping[str, Plain]) -> Iterator[str]:
    """The fields of a row, and those of tables in it by their dotted paths."""
    for name, value in values.items():
        yield name
        if isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in _fields(value))


def _properties(values: Mapping[str, Plain]) -> Iterator[str]:
    """The properties of everything that lists in a row hold, such as messages."""
    for one in listed(values):
        yield from one


def listed(values: Mapping[str, Plain]) -> Iterator[Mapping[str, Plain]]:
    """The objects that lists in a row hold, such as messages."""
    for value in map(objects, values.values()):
        yield from (one for one in value if isinstance(one, Mapping)) if isinstance(value, list) else ()


def _words(values: Mapping[str, Plain]) -> Iterator[str]:
    """The texts that objects in lists hold, the roles of messages among them."""
    for one in listed(values):
        yield from (text for text in one.values() if isinstance(text, str))


def _strange(values: Mapping[str, Plain], dataset: Dataset) -> Iterator[str]:
    """The roles of messages that neither the recipe nor custom knows."""
    given = {role for group in dataset.roles.values() for role in cast("list[str]", group)}
    keys = (str(dataset.message_property_mappings.get("role", "role")), "from")
    roles = (one[key] for one in listed(values) for key in keys if key in one)
    yield from (role for role in roles if isinstance(role, str) and role not in given and role not in USUAL.roles)
