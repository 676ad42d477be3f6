"""Records as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from planner.desired import flatten
from state.canonical import Plain
from state.lookup import Found
from state.record import InputRecord, Measured, Provenance, Record, State, Status
from tune.views.terminal import Hanging, hanging
from tune.views.words import duration, plural, short, value

LABEL = 16


def print_known_tags(out: Console, wanted: Sequence[str], records: Mapping[str, Record]) -> None:
    """That nothing has all of some tags, and which there are."""
    known = ", ".join(f"`{tag}`" for tag in sorted({tag for one in records.values() for tag in one.tags}))
    having = f"has {' and '.join(f'`{tag}`' for tag in wanted)}"
    out.print(hanging(f"Nothing in the state {having}. " + (f"Its tags: {known}." if known else "It has no tags."), 0))


def print_list(out: Console, records: Mapping[str, Record]) -> None:
    """One line for each resource."""
    if not records:
        out.print(Text("The state is empty: nothing has been applied yet."))
        return
    rows = [("ADDRESS", "STATUS", "DIGEST", "MADE", "WHAT"), *map(_row, sorted(records.items()))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        out.print(Text(line, style="" if number else "bold"), soft_wrap=True)


def _row(item: tuple[str, Record]) -> tuple[str, str, str, str, str]:
    address, record = item
    made = (record.provenance.finished or record.provenance.started)[:16].replace("T", " ")
    return address, record.status.value, short(record.output_digest), made, _what(record)


def print_record(out: Console, found: Found, state: State) -> None:
    """Everything about one resource, the question "what made this?" first."""
    out.print(Text(found.address, style="bold"))
    for label, text in lines(found, state):
        out.print(Hanging(Text(text), LABEL, f"  {label}"))


def print_found(out: Console, what: str, found: Sequence[Found]) -> None:
    """Several records that all answer, a line each."""
    out.print(hanging(f"{len(found)} artifacts hold `{what}`; name one by its address or output digest for more:", 0))
    for one in found:
        file = f", as {one.file}" if one.file else ""
        when = "now" if not one.serial else f"serial {one.serial}"
        out.print(Hanging(Text(f"{one.address}, output {short(one.record.output_digest)} ({when}){file}"), 4, "  -"))


def _what(record: Record) -> str:
    figures = {**record.facts, **record.metrics}
    names = ("exact_match", "perplexity", "loss", "rows", "trained_tokens", "parameters")
    found = [f"{name} {_figure(figures[name])}" for name in names if name in figures]
    return ", ".join(found[:2])


def _figure(plain: Plain) -> str:
    return f"{plain:z,.4g}" if isinstance(plain, float) else f"{plain:,}" if isinstance(plain, int) else str(plain)


def lines(found: Found, state: State) -> Iterator[tuple[str, str]]:
    """What a record says, as labels and texts."""
    record = found.record
    if found.file:
        yield "file", found.file
    yield "status", record.status.value + (f": {record.error}" if record.error else "")
    if record.protected:
        yield "protected", "no plan may rebuild or forget it"
    for one in record.splices:
        yield (
            "spliced",
            (
                f"not equivalent to a run from scratch: it went on from step {one.step}, though the learning rate of "
                f"step {one.differs} was {one.before:.6g} and would have been {one.after:.6g}"
            ),
        )
    if record.generation:
        yield "made anew", f"{plural(record.generation, 'time')}, asked for with --replace"
    if state.records.get(found.address) != record:
        was = f"recorded by serial {found.serial}" if found.serial else "kept, in case that the edit is undone"
        yield "superseded", f"{found.address} is something else now; this was {was}"
    yield "output", record.output_digest or "none"
    if record.artifact:
        yield "artifact", f".tune/{record.artifact}"
    yield "action key", record.action_key
    yield from _origins(record, state)
    for label, values in (("setting", flatten(record.settings)), ("fact", record.facts), ("metric", record.metrics)):
        yield from ((label, f"{name} = {value(one)}") for name, one in values.items())
    yield from (("before", _measured(one)) for one in reversed(record.earlier))
    if record.checkpoints:
        yield "checkpoints", f"at step {', '.join(str(one.step) for one in record.checkpoints)}"
    yield from _circumstances(record.provenance)
    if not record.output_digest:
        yield "next", "`tune plan` says how to go on"


def _measured(one: Measured) -> str:
    figures = ", ".join(f"{name} {_figure(value)}" for name, value in one.metrics.items())
    failed = "" if one.status is Status.READY else " (failed its gate)"
    return f"{one.finished[:16].replace('T', ' ')}: {figures}{failed}"


def _origins(record: Record, state: State) -> Iterator[tuple[str, str]]:
    for name, group in record.inputs.items():
        for one in group:
            part = f" ({one.part})" if one.part else ""
            digest = f"digest {short(one.digest)}" if one.digest else "digest not known"
            doubt = "" if one.verified else ", not verified: a person said so"
            yield "made from", f"{one.address}{part} as {name}, {digest}{_figures(one, state)}{doubt}"
    for name, digest in record.content.items():
        yield "read", f"{name}, digest {short(digest)}"


def _figures(one: InputRecord, state: State) -> str:
    """Rows, tokens and revision of an input, if it is still what it was then."""
    record = state.records.get(one.address)
    if record is None or one.digest not in (record.output_digest, *record.parts.values()):
        return ""
    figures = {**record.settings, **record.facts}
    names = ("revision", "commit", "rows", "tokens", "trained_tokens")
    return "".join(f", {name.replace('_', ' ')} {_figure(figures[name])}" for name in names if figures.get(name))


def _circumstances(made: Provenance) -> Iterator[tuple[str, str]]:
    yield "when", f"{made.started} to {made.finished or '(not finished)'} ({duration(made.seconds)})"
    yield "who", f"{made.user}@{made.host}"
    if made.recipe:
        yield "recipe", made.recipe
    if made.git_commit:
        yield "git", made.git_commit + (" with uncommitted changes" if made.git_dirty else "")
    if made.hardware:
        yield "hardware", made.hardware
    if made.versions:
        yield "versions", ", ".join(f"{name} {version}" for name, version in made.versions.items())
    if made.plan:
        yield "plan", made.plan
