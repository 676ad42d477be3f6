"""All rows of a dataset, looked at once: how many are sound, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from executor import formats
from executor.data import named_columns
from executor.data.broken_rows import BrokenRows
from executor.data.chat_messages import RowError
from executor.data.dataset_fields import Dataset
from executor.data.named_columns import Named, What
from executor.data.rows import BrokenRow, Row
from executor.sources import origin
from state.canonical import Plain
from state.diagnostic import NOWHERE, Diagnostic, Place
from state.values import frozen


@frozen
class Seen:
    """What reading all rows of a dataset shows."""

    facts: Mapping[str, Plain]
    wrong: tuple[Diagnostic, ...]


def examine(address: str, dataset: Dataset, folder: Path, place: Callable[[str], Place] = lambda _: NOWHERE) -> Seen:
    """Count the sound rows, and the broken ones, of which the first are told one by one unless they are skipped.

    `place` says where a field of the dataset was written.
    """
    count, broken, ends = 0, BrokenRows(), BrokenRows()
    unseen = named_columns.optional(dataset)
    for row in origin.rows(dataset, folder):
        if unseen:
            unseen = named_columns.unseen(unseen, row)
        fault = row if isinstance(row, BrokenRow) else next(faults(row, dataset), None)
        if fault is None:
            count += 1
        else:
            broken.add(fault)
            if fault.ends_file:
                ends.add(fault)
    skips = dataset.on_bad_row == "skip"
    wrong = ends.diagnostics() if skips else broken.diagnostics()
    if skips and count and not wrong:
        wrong = broken.skipped(address, count + len(broken))
    if not count and not wrong:
        wrong = (_empty(address, dataset, folder, broken=bool(broken)),)
    elif unseen:
        absent = named_columns.absent(unseen, dataset, folder)
        wrong += tuple(_unknown(address, one, hint, place(one.setting)) for one, hint in absent.items())
    return Seen({"rows": count, **({"skipped": len(broken)} if skips and broken else {})}, wrong)


def _empty(address: str, dataset: Dataset, folder: Path, *, broken: bool) -> Diagnostic:
    fewer = {"split": dataset.split, "sample": dataset.sample, "weight": dataset.weight < 1}
    taken = " and ".join(f"`{name}`" for name, takes in fewer.items() if takes)
    which = " that can be read" if broken else " that meet its `filters`" if dataset.filters else ""
    which = which or (f" left by its {taken}" if taken else "")
    absent = {} if broken else named_columns.absent(named_columns.of_filters(dataset), dataset, folder)
    names = " or ".join(f"`{one.names[0]}`" for one in absent)
    said = f": no row has the field {names}" if absent else ""
    return Diagnostic("Empty dataset", f"{address} has no rows{which}{said}.", " ".join(filter(None, absent.values())))


def _unknown(address: str, named: Named, hint: str, place: Place) -> Diagnostic:
    """What is said of a name that no row has, and that would thus do nothing."""
    who = "row" if named.what is What.FIELD else "message"
    has = "which holds such a value in no row" if hint == named_columns.OTHERS else f"which no {who} has"
    names = " or ".join(f"`{one}`" for one in named.names)
    detail = f"{address}.{named.setting} names the {named.what} {names}, {has}, so that it does nothing."
    return Diagnostic("Unknown column", detail, hint or "Correct the name, or remove it.", place)


def faults(row: Row, dataset: Dataset) -> Iterator[BrokenRow]:
    """What keeps a row from being one of this dataset's type, without looking at any template."""
    try:
        formats.load()[dataset.type].example(row.values, dataset)
    except RowError as error:
        yield BrokenRow(row.place, str(error))
