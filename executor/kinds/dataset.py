"""`[dataset.NAME]`: raw rows, read where they lie and identified by their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from attrs import frozen

from executor.probe import Surroundings, assumed
from executor.rows import MOST_REPORTED, BrokenRow, Row, read_rows, source_files
from planner.effects import Effect, setting
from planner.kind import Kind, Probe, Resource
from planner.limits import not_empty
from planner.structure import settings_of
from state.canonical import Plain, digest
from state.diagnostic import Diagnostic
from state.files import FileDigests

CODE = 1


@frozen
class Dataset:
    """The fields of a dataset."""

    source: str | tuple[str, ...] = setting(
        effect=Effect.METADATA, why="the bytes decide, not where they lie", validator=not_empty
    )
    """A .jsonl file, a glob, a folder, or a list of these, relative to the recipe."""
    type: Literal["chat_template", "completion"] = setting(effect=Effect.REBUILD, why="rows are read differently")
    field_messages: str = setting("messages", effect=Effect.REBUILD, why="rows are read differently")
    """For chat_template: the field that holds the messages."""
    field: str = setting("text", effect=Effect.REBUILD, why="rows are read differently")
    """For completion: the field that holds the text."""
    description: str = setting("", effect=Effect.METADATA, why="it is a note")


def files_of(source: Plain, folder: Path) -> tuple[Path, ...]:
    """The files of a `source` setting."""
    sources = (source,) if isinstance(source, str) else cast("Sequence[str]", source)
    return source_files(sources, folder)


def named_files(source: Plain, folder: Path) -> list[tuple[Path, str]]:
    """The files of a `source` setting with the names that messages and records give them."""
    return [
        (path, path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix())
        for path in files_of(source, folder)
    ]


def identity(settings: Mapping[str, Plain], file_digests: Sequence[str]) -> str:
    """The digest of the rows: the bytes in order, and how they are to be read."""
    kind = settings["type"]
    field = settings["field_messages"] if kind == "chat_template" else settings["field"]
    return digest({"type": kind, "field": field, "files": list(file_digests)})


def probe(resource: Resource, surroundings: Surroundings) -> Probe:
    """Digest the files; read every row of those that state does not know yet."""
    dataset: Dataset = resource.specification
    files = named_files(dataset.source, surroundings.folder)
    record = surroundings.record(resource)
    if not files:
        missing = Probe(diagnostics=(_no_files(resource, dataset),), builds=False)
        return assumed(resource, surroundings, builds=False) or missing
    content = {name: surroundings.digests.digest(path) for path, name in files}
    known = identity(settings_of(dataset), list(content.values()))
    if record is not None and record.output_digest == known:
        return Probe(content, known={"": known}, facts=record.facts, builds=False)
    rows, found = _examine(dataset, files)
    if not rows and not found:
        found = (Diagnostic("Empty dataset", f"{resource.address} has no rows.", place=resource.place("source")),)
    return Probe(content, known={"": known}, facts={"rows": rows}, diagnostics=found, builds=False)


def _no_files(resource: Resource, dataset: Dataset) -> Diagnostic:
    sources = dataset.source if isinstance(dataset.source, str) else ", ".join(dataset.source)
    detail = f"{resource.address}.source names `{sources}`, which matches no file."
    hint = "Paths are relative to the recipe's folder; a folder is searched for *.jsonl."
    return Diagnostic("Missing file", detail, hint, resource.place("source"))


def _examine(dataset: Dataset, files: Sequence[tuple[Path, str]]) -> tuple[int, tuple[Diagnostic, ...]]:
    """The number of good rows, and a diagnostic for each broken one up to a limit, the rest counted."""
    rows, broken = 0, list[BrokenRow]()
    for path, name in files:
        for row in read_rows(path, name):
            fault = row if isinstance(row, BrokenRow) else next(faults(row, dataset), None)
            if fault is None:
                rows += 1
            else:
                broken.append(fault)
    return rows, broken_rows(broken)


def broken_rows(broken: Sequence[BrokenRow]) -> tuple[Diagnostic, ...]:
    """Diagnostics of broken rows: the first ones each, the rest as a number."""
    shown = [Diagnostic("Broken row", f"This row {one.why}.", place=one.place) for one in broken[:MOST_REPORTED]]
    if len(broken) > MOST_REPORTED:
        more = len(broken) - MOST_REPORTED
        shown.append(Diagnostic("Broken row", f"{more} more rows are broken.", place=broken[MOST_REPORTED].place))
    return tuple(shown)


def faults(row: Row, dataset: Dataset) -> Iterator[BrokenRow]:
    """What keeps a row from being one of this dataset's type, without looking at any template."""
    if dataset.type == "completion":
        text = row.values.get(dataset.field)
        if not isinstance(text, str) or not text:
            yield BrokenRow(row.place, f"has no text in the field `{dataset.field}`")
        return
    messages = row.values.get(dataset.field_messages)
    if not isinstance(messages, list) or not messages:
        yield BrokenRow(row.place, f"has no list of messages in the field `{dataset.field_messages}`")
        return
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            yield BrokenRow(row.place, f"has no role in message {number}")
        elif not isinstance(message.get("content"), str) and not message.get("tool_calls"):
            yield BrokenRow(row.place, f"has no text content in message {number}")


def check_unchanged(settings: Mapping[str, Plain], folder: Path, expected: str) -> bool:
    """Whether the files are still those that were probed."""
    digests = FileDigests()
    return identity(settings, [digests.digest(file) for file in files_of(settings["source"], folder)]) == expected


KIND = Kind(
    name="dataset",
    specifications={"": Dataset},
    code=CODE,
    verb="re-read",
    inputs=lambda *_: {},
    probe=probe,
)
