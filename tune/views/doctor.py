"""What was found on a machine, as a table: worst words first to be seen, hints below what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from executor.doctor.finding import Finding, Verdict
from tune.views.terminal import Hanging
from tune.views.words import plural

COLOURS = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.PROBLEM: "red"}
VERDICT_WIDTH = 10
MOST_NAME = 20
"""Columns of the longest name that the others are aligned with."""


def print_findings(out: Console, findings: Sequence[Finding]) -> None:
    """One block for each area, and the sum of it all."""
    width = max((len(one.name) for one in findings if len(one.name) <= MOST_NAME), default=0) + 2
    for area, group in groupby(findings, key=lambda one: one.area):
        out.print(Text(area, style="bold"))
        for one in group:
            _print_finding(out, one, width)
    out.print()
    out.print(Text(footer(findings), style="bold"))


def _print_finding(out: Console, one: Finding, width: int) -> None:
    indent = 2 + VERDICT_WIDTH
    name = one.name.ljust(width) if len(one.name) < width else f"{one.name}  "
    out.print(Hanging(Text(name + one.found), indent, f"  {one.verdict}", COLOURS[one.verdict]))
    if one.hint:
        out.print(Hanging(Text(one.hint, style="cyan"), indent + len("hint: "), f"{' ' * indent}hint: ", "cyan"))


def footer(findings: Sequence[Finding]) -> str:
    """How many of what."""
    problems = sum(one.verdict is Verdict.PROBLEM for one in findings)
    warnings = sum(one.verdict is Verdict.WARNING for one in findings)
    if not problems and not warnings:
        return "Nothing is wrong."
    counts = [plural(count, what) for count, what in ((problems, "problem"), (warnings, "warning")) if count]
    return f"{', '.join(counts)}."
