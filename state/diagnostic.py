"""The one type in which every package tells a person what is wrong, and the exception that carries it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Self

from attrs import evolve

from state.explanations import code_of
from state.values import frozen


class Severity(StrEnum):
    """How bad it is: an error stops the command, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@frozen
class Place:
    """A position in a file that the user wrote; line and column count from 1, and 0 means the whole file."""

    file: str
    line: int = 0
    column: int = 0

    @property
    def position(self) -> tuple[str, int, int]:
        """The file, the line and the column, by which places are ordered."""
        return self.file, self.line, self.column

    def __str__(self) -> str:
        """The place as editors and terminals understand it: `file:line:column`."""
        parts = [self.file, *(str(number) for number in (self.line, self.column) if number)]
        return ":".join(parts)


NOWHERE = Place("")


@frozen
class Diagnostic:
    """One problem: the same summary every time, what is wrong here, what to do about it, and where."""

    summary: str
    detail: str
    hint: str = ""
    place: Place = NOWHERE
    severity: Severity = Severity.ERROR

    @property
    def code(self) -> str:
        """The stable code of its summary."""
        return code_of(self.summary)

    def at(self, place: Place) -> Self:
        """The same at a place, if it has none of its own."""
        return self if self.place.file else evolve(self, place=place)


class ProblemError(Exception):
    """What the user can mend; caught once, at the top of the command line, and never shown as a traceback."""

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        """Carry one diagnostic or all that were found."""
        found = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        self.diagnostics = found
        super().__init__("; ".join(f"{one.summary}: {one.detail}" for one in found))


def problem(summary: str, detail: str, hint: str = "", place: Place = NOWHERE) -> ProblemError:
    """A problem made of a single diagnostic."""
    return ProblemError(Diagnostic(summary, detail, hint, place))


def errors(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Those that must stop the command, in the order of their places."""
    found = (one for one in diagnostics if one.severity is Severity.ERROR)
    return tuple(sorted(found, key=lambda one: one.place.position))
