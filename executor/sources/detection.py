"""The `type` of a dataset that names none, told from its first rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from executor import formats
from executor.data.dataset_fields import Dataset, as_they_lie, dataset_of
from executor.data.rows import BrokenRow, Row
from executor.sources.origin import rows
from planner.structure import settings_of
from state.canonical import Plain
from state.diagnostic import ProblemError, problem

_ROWS = 20
"""Sound rows that are looked at; more than half of them must be written in the same way."""

_LINES = 1000
"""Rows that are looked at to find them."""


def resolved(dataset: Dataset, folder: Path) -> Dataset:
    """The dataset with its type, and the field that it is read from; raises ProblemError where that cannot be told."""
    if dataset.type:
        return dataset
    seen = tuple(islice(rows(as_they_lie(dataset), folder), _LINES))
    first = [row for row in seen if isinstance(row, Row) and _says_something(row)][:_ROWS]
    told = _told(first)
    if len(told) == 1:
        name, settings = told[0]
        return dataset_of({**settings_of(dataset), **not_given(dataset, settings), "type": name})
    ways = ", ".join(dict.fromkeys(name for name, _ in told))
    hint = f"Set `type` to one of {ways or ', '.join(sorted(formats.load()))}, and the fields that it reads."
    if told:
        raise problem("Unknown type", f"`type` is not set, and the rows can be read in several ways: {ways}.", hint)
    if first:
        fields = ", ".join(f"`{name}`" for name in first[0].values) or "none"
        why = f"has fields that tell of no known one: {fields}"
        raise problem("Unknown type", f"`type` is not set, and this row {why}.", hint, first[0].place)
    if seen:
        from executor.data.broken_rows import BrokenRows

        broken = (row for row in rows(as_they_lie(dataset), folder) if isinstance(row, BrokenRow))
        raise ProblemError(BrokenRows.of(broken).diagnostics())
    raise problem("Empty dataset", "There is no row from which the `type` could be told.")


def may_be_chats(dataset: Dataset) -> bool:
    """Whether rows may take a chat template to become text; one without a type may be anything."""
    return not dataset.type or formats.load()[dataset.type].renders(dataset)


def _says_something(row: Row) -> bool:
    """Whether a field is set: in tables, all fields are there even where none is."""
    return not row.values or any(value is not None for value in row.values.values())


def _told(first: Sequence[Row]) -> list[tuple[str, dict[str, Plain]]]:
    """The formats, with the settings they take, in which most of the rows can be read: one, unless several tie."""
    votes: Counter[tuple[str, str]] = Counter()
    for row in first:
        ways = ((name, form.recognises(row.values)) for name, form in formats.load().items())
        votes.update((name, json.dumps(dict(settings))) for name, settings in ways if settings is not None)
    most = max(votes.values(), default=0)
    return [(name, json.loads(text)) for (name, text), count in votes.items() if count == most > len(first) / 2]


def not_given(dataset: Dataset, settings: dict[str, Plain]) -> dict[str, Plain]:
    """The settings that the recipe leaves as they are by default; what it says itself holds."""
    default = Dataset(source=dataset.source)
    return {name: value for name, value in settings.items() if getattr(dataset, name) == getattr(default, name)}
