"""The history of a state, and what differs between two of its serials, as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.text import Text

from planner.desired import flatten, same
from state.canonical import Plain
from state.history import HistoryEntry
from state.record import Record
from tune.views.terminal import Hanging, hanging
from tune.views.words import short, value

LABEL = 10


def print_entry(out: Console, digest: str, entry: HistoryEntry) -> None:
    """One write: who, when, by which command and plan, and what became of which addresses."""
    head = Text(f"serial {entry.serial}", style="bold yellow")
    head.append(f"  {digest[:16]}", style="default")
    out.print(head)
    lines = [("Who", entry.author.who), ("When", entry.when), ("Command", entry.author.command)]
    lines += [("Plan", entry.author.plan)] if entry.author.plan else []
    lines += [("Because", entry.because)] if entry.because else []
    for label, text in lines:
        out.print(Hanging(Text(text), LABEL, f"{label}:"))
    if entry.records:
        out.print()
    for address, record in sorted(entry.records.items()):
        out.print(hanging(f"{address}: {outcome(record)}", 4))
    out.print()


def outcome(record: Record | None) -> str:
    """What became of an address, in few words."""
    if record is None:
        return "forgotten"
    reached = f", reached step {record.checkpoints[-1].step}" if record.checkpoints and not record.output_digest else ""
    made = f", output {short(record.output_digest)}" if record.output_digest else ""
    return f"{record.status.value}{made}{reached}{f' ({record.error})' if record.error else ''}"


def print_difference(out: Console, before: Mapping[str, Record], after: Mapping[str, Record]) -> int:
    """Every address that differs, with the fields, inputs and results that do; returns how many do."""
    changed = [address for address in sorted(before.keys() | after.keys()) if before.get(address) != after.get(address)]
    for address in changed:
        old, new = before.get(address), after.get(address)
        symbol = "+" if old is None else "-" if new is None else "~"
        style = {"+": "green", "-": "red", "~": "yellow"}[symbol]
        only = new if old is None else old if new is None else None
        out.print(Hanging(Text(address, style="bold"), 4, f"  {symbol}", style))
        if only is not None:
            out.print(hanging(outcome(only), 6))
        for line in _differences(old, new) if old is not None and new is not None else ():
            out.print(hanging(line, 6))
    return len(changed)


def _differences(old: Record, new: Record) -> Iterator[str]:
    tables = ("settings", "content", "inputs", "facts", "metrics")
    for table in tables:
        before, after = (_values(one, table) for one in (old, new))
        for name in sorted(before.keys() | after.keys()):
            if not same(before.get(name), after.get(name)):
                yield f"{table}: {name}: {_shown(before, name)} -> {_shown(after, name)}"
    for name in ("status", "output_digest", "action_key", "code", "artifact", "error"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield f"{name}: {short(str(was)) or 'none'} -> {short(str(now)) or 'none'}"
    reached = [[one.step for one in record.checkpoints] for record in (old, new)]
    if reached[0] != reached[1]:
        yield f"checkpoints: {value(reached[0])} -> {value(reached[1])}"
    if old.provenance != new.provenance:
        yield f"made: {_made(old)} -> {_made(new)}"


def _values(record: Record, table: str) -> Mapping[str, Plain]:
    if table == "inputs":
        return {
            f"{name}[{at}]": f"{one.address} {one.digest}"
            for name, group in record.inputs.items()
            for at, one in enumerate(group)
        }
    found: Mapping[str, Plain] = getattr(record, table)
    return flatten(found) if table == "settings" else found


def _shown(values: Mapping[str, Plain], name: str) -> str:
    return value(values[name]) if name in values else "absent"


def _made(record: Record) -> str:
    made = record.provenance
    commit = f", commit {made.git_commit[:12]}{' with changes' if made.git_dirty else ''}" if made.git_commit else ""
    return f"{made.finished or made.started} by {made.user}@{made.host}{commit}"
