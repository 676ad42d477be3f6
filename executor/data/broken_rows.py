"""Broken rows as one report: the first ones of every file, and how many more each has, however many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Self

from attrs import field

from executor.data.rows import MOST_REPORTED, BrokenRow
from state.diagnostic import Diagnostic, Place, Severity
from state.values import mutable


@mutable
class BrokenRows:
    """Broken rows as they are found; of each file, and of so many files, only those are kept that may be told."""

    _first: dict[str, list[BrokenRow]] = field(factory=dict)
    _counts: Counter[str] = field(factory=Counter)

    @classmethod
    def of(cls, rows: Iterable[BrokenRow]) -> Self:
        """Those of all rows given."""
        found = cls()
        for row in rows:
            found.add(row)
        return found

    def add(self, row: BrokenRow) -> None:
        """One more."""
        self._counts[row.place.file] += 1
        if row.place.file not in self._first and len(self._first) == MOST_REPORTED:
            return
        kept = self._first.setdefault(row.place.file, [])
        if len(kept) <= MOST_REPORTED:
            kept.append(row)

    def __len__(self) -> int:
        """How many there are."""
        return self._counts.total()

    def skipped(self, address: str, count: int) -> tuple[Diagnostic, ...]:
        """A warning that these, of so many rows, are left out, as the recipe allows; none if there are none."""
        first = next((rows[0] for rows in self._first.values()), None)
        if first is None:
            return ()
        rows = f"{len(self):,} of {count:,} row{'s' if count > 1 else ''}"
        detail = f"{address} leaves out {rows}, first {first.place}, which {first.why}."
        hint = 'That is what `on_bad_row = "skip"` asks for; correct them to have them trained.'
        return (Diagnostic("Skipped rows", detail, hint, first.place, Severity.WARNING),)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The report: files share in the rows that are told one by one, so that none hides behind another."""
        others = [name for name in self._counts if name not in self._first]
        told = [one for name, shown in self._shares().items() for one in self._of_file(name, shown)]
        if others:
            more = sum(self._counts[name] for name in others)
            told.append(_broken(f"{more:,} more rows are broken in {len(others):,} more files.", Place(others[0])))
        return tuple(told)

    def _of_file(self, name: str, shown: int) -> Iterable[Diagnostic]:
        kept, more = self._first[name], self._counts[name] - shown
        for row in kept[:shown]:
            yield _broken(f"This row {row.why}.", row.place)
        if more:
            yield _broken(f"{more:,} more row{'s are' if more > 1 else ' is'} broken.", kept[shown].place)

    def _shares(self) -> Counter[str]:
        """How many rows of each file are told: its first, and then by turns another of each, as far as they go."""
        turns = chain.from_iterable(
            (name for name, kept in self._first.items() if turn < len(kept)) for turn in range(MOST_REPORTED)
        )
        return Counter(name for name, _ in zip(turns, range(MOST_REPORTED), strict=False))


def _broken(detail: str, place: Place) -> Diagnostic:
    return Diagnostic("Broken row", detail, place=place)
