"""Records as people read them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from planner.desired import flatten
from state.canonical import Plain
from state.record import Provenance, Record, State
from tune.views.terminal import Hanging
from tune.views.words import duration, short, value

LABEL = 16


def print_list(out: Console, state: State) -> None:
    """One line for each resource."""
    if not state.records:
        out.print(Text("The state is empty: nothing has been applied yet."))
        return
    rows = [("ADDRESS", "STATUS", "DIGEST", "MADE", "WHAT"), *map(_row, sorted(state.records.items()))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        out.print(Text(line, style="" if number else "bold"), soft_wrap=True)


def _row(item: tuple[str, Record]) -> tuple[str, str, str, str, str]:
    address, record = item
    made = (record.provenance.finished or record.provenance.started)[:16].replace("T", " ")
    return address, record.status.value, short(record.output_digest), made, _what(record)


def print_record(out: Console, address: str, state: State) -> None:
    """Everything about one resource, the question "what made this?" first."""
    record = state.records[address]
    out.print(Text(address, style="bold"))
    for label, text in _lines(record):
        out.print(Hanging(Text(text), LABEL, f"  {label}"))


def _what(record: Record) -> str:
    figures = {**record.facts, **record.metrics}
    names = ("exact_match", "perplexity", "loss", "rows", "trained_tokens", "parameters")
    found = [f"{name} {_figure(figures[name])}" for name in names if name in figures]
    return ", ".join(found[:2])


def _figure(plain: Plain) -> str:
    return f"{plain:,.4g}" if isinstance(plain, float) else f"{plain:,}" if isinstance(plain, int) else str(plain)


def _lines(record: Record) -> Iterator[tuple[str, str]]:
    yield "status", record.status.value + (f": {record.error}" if record.error else "")
    yield "output", record.output_digest or "none"
    if record.artifact:
        yield "artifact", f".tune/{record.artifact}"
    yield "action key", record.action_key
    yield from _origins(record)
    for label, values in (("setting", flatten(record.settings)), ("fact", record.facts), ("metric", record.metrics)):
        yield from ((label, f"{name} = {value(one)}") for name, one in values.items())
    if record.checkpoints:
        yield "checkpoints", f"at step {', '.join(str(one.step) for one in record.checkpoints)}"
    yield from _circumstances(record.provenance)
    if not record.output_digest:
        yield "next", "`tune plan` says how to go on"


def _origins(record: Record) -> Iterator[tuple[str, str]]:
    for name, group in record.inputs.items():
        for one in group:
            part = f" ({one.part})" if one.part else ""
            yield "made from", f"{one.address}{part} as {name}, digest {short(one.digest)}"
    for name, digest in record.content.items():
        yield "read", f"{name}, digest {short(digest)}"


def _circumstances(made: Provenance) -> Iterator[tuple[str, str]]:
    yield "when", f"{made.started} to {made.finished or '(not finished)'} ({duration(made.seconds)})"
    yield "who", f"{made.user}@{made.host}"
    if made.git_commit:
        yield "git", made.git_commit + (" with uncommitted changes" if made.git_dirty else "")
    if made.hardware:
        yield "hardware", made.hardware
    if made.versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in made.versions.items())
    yield "plan", made.plan
