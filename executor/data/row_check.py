"""All rows of a dataset, looked at once: how many are sound, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import evolve

from executor import formats
from executor.data.broken_rows import BrokenRows
from executor.data.chat_messages import RowError
from executor.data.dataset_fields import Dataset
from executor.data.rows import BrokenRow, Row
from executor.sources import origin
from executor.sources.selection import has_field
from state.canonical import Plain
from state.diagnostic import Diagnostic
from state.values import frozen


@frozen
class Seen:
    """What reading all rows of a dataset shows."""

    facts: Mapping[str, Plain]
    wrong: tuple[Diagnostic, ...]


def examine(address: str, dataset: Dataset, folder: Path) -> Seen:
    """Count the sound rows, and the broken ones, of which the first are told one by one unless they are skipped."""
    count, broken = 0, BrokenRows()
    for row in origin.rows(dataset, folder):
        fault = row if isinstance(row, BrokenRow) else next(faults(row, dataset), None)
        if fault is None:
            count += 1
        else:
            broken.add(fault)
    skips = dataset.on_bad_row == "skip"
    wrong = () if skips else broken.diagnostics()
    if not count and not wrong:
        which = " that can be read" if broken else " that meet its `filters`" if dataset.filters else ""
        absent = _absent(dataset, folder) if dataset.filters and not broken else []
        said = f": no row has the field {' or '.join(absent)}" if absent else ""
        wrong = (Diagnostic("Empty dataset", f"{address} has no rows{which}{said}."),)
    return Seen({"rows": count, **({"skipped": len(broken)} if skips and broken else {})}, wrong)


def _absent(dataset: Dataset, folder: Path) -> list[str]:
    """The fields that filters ask for and no row has."""
    wanted = dict.fromkeys(one.field for one in dataset.filters)
    for row in origin.rows(evolve(dataset, filters=()), folder):
        if isinstance(row, Row):
            wanted = {name: None for name in wanted if not has_field(row.values, name)}
    return [f"`{name}`" for name in wanted]


def faults(row: Row, dataset: Dataset) -> Iterator[BrokenRow]:
    """What keeps a row from being one of this dataset's type, without looking at any template."""
    try:
        formats.load()[dataset.type].example(row.values, dataset)
    except RowError as error:
        yield BrokenRow(row.place, str(error))
