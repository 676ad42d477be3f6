"""`[dataset.NAME]`: raw rows, read where they lie, or fetched from the hub and from object storage once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from os.path import commonpath, relpath
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from executor import formats
from executor.applying.probe import Surroundings, assumed
from executor.data.dataset_faults import faults
from executor.data.dataset_fields import Dataset, dataset_of
from executor.sources import origin, splits
from executor.sources.detection import not_given, resolved
from executor.sources.origin import Origin, origin_of, sources_of
from planner.kind import Kind, Probe, Resource, Resources
from planner.structure import are_as_recorded, settings_of
from state.canonical import Plain, digest
from state.diagnostic import Diagnostic, ProblemError, Severity, errors
from state.files import FileDigests
from state.record import Record

if TYPE_CHECKING:
    from executor.workers.task import Outcome, Task
    from executor.workers.worker_reports import Reporter

CODE = 2

_COMMIT = r"[0-9a-f]{40}"
_TAKEN = ("name", "split", "filters", "deduplicate", "sample", "weight", "shuffle")
"""The fields that decide which rows are taken, in which order."""


def identity(settings: Mapping[str, Plain], content: Sequence[str]) -> str:
    """The digest of the rows: the bytes in order, and how they are to be read; only what plays a part counts."""
    defaults, name_of_type = _defaults(), str(settings["type"])
    fields = formats.load()[name_of_type].fields
    drawn = bool(settings["shuffle"]) or settings["sample"] is not None or settings["weight"] != 1
    names = (*fields[1:], *_TAKEN, "seed") if drawn else (*fields[1:], *_TAKEN)
    given = {name: settings[name] for name in names if settings[name] != defaults[name]}
    main = {"field": settings[fields[0]]} if fields else {}
    return digest({**given, **main, "type": name_of_type, "files": list(content)})


@cache
def _defaults() -> Mapping[str, Plain]:
    return settings_of(Dataset(source="-"))


def check(resource: Resource, _: Resources) -> tuple[Diagnostic, ...]:
    """The fields must describe one origin."""
    return tuple(
        Diagnostic("Contradicting fields", f"{resource.address}: {detail}", hint, resource.place(path))
        for path, detail, hint in faults(resource.specification)
    )


def probe(resource: Resource, surroundings: Surroundings) -> Probe:
    """Digest the files, or ask where they lie for their versions; read every row here that state does not know yet."""
    dataset: Dataset = resource.specification
    try:
        if origin_of(dataset, surroundings.folder) is Origin.LOCAL:
            return _probe_files(resource, surroundings)
        return _probe_fetched(resource, surroundings)
    except ProblemError as error:
        found = tuple(one.at(resource.place("source")) for one in error.diagnostics)
    except OSError as error:
        detail = f"{resource.address}: `{error.filename}` cannot be read: {error.strerror}."
        hint = "Make it readable for whoever runs `tune`, or leave it out."
        found = (Diagnostic("Unreadable file", detail, hint, resource.place("source")),)
    return Probe(diagnostics=found, builds=False)


def _probe_files(resource: Resource, surroundings: Surroundings) -> Probe:
    dataset: Dataset = resource.specification
    record = surroundings.record(resource)
    content = origin.digests_of_files(dataset, surroundings.folder, surroundings.digests)
    if not content:
        missing = Probe(diagnostics=(_no_files(resource, dataset),), builds=False)
        assumption = assumed(resource, surroundings, builds=False)
        return missing if assumption is None else evolve(assumption, settings=_type_of(record, dataset))
    read = resolved(dataset, surroundings.folder)
    settings = _told(dataset, read)
    known = _recorded(record, read, content) or identity(settings_of(read), list(content.values()))
    if record is not None and record.output_digest == known and not _refuses_skipped(record, dataset):
        return Probe(content, settings, known={"": known}, facts=record.facts, builds=False)
    from executor.data.row_check import examine

    seen = examine(resource.address, read, surroundings.folder, resource.place)
    found = (*(one.at(resource.place("source")) for one in seen.wrong), *_several_splits(resource, list(content)))
    notes = _notes(settings)
    return Probe(content, settings, known={"": known}, facts=seen.facts, notes=notes, diagnostics=found, builds=False)


def _several_splits(resource: Resource, files: Sequence[str]) -> Iterator[Diagnostic]:
    """A warning where a folder or pattern brings rows to test on among those to train on, by the names of the files."""
    dataset: Dataset = resource.specification
    if dataset.split or len(files) == 1 or set(files) <= set(sources_of(dataset)):
        return
    above = commonpath(files)
    told = splits.told(relpath(name, above) for name in files)
    if len(told) > 1:
        detail = f"{resource.address} reads the files of all splits alike: {', '.join(told)}."
        hint = f"Set `split`, to `{'+'.join(told)}` if all of them are meant."
        yield Diagnostic("Several splits", detail, hint, resource.place("source"), Severity.WARNING)


def _recorded(record: Record | None, read: Dataset, content: Mapping[str, str]) -> str:
    """What state says of rows where nothing that decides them has changed; "" where anything may have.

    State does not say in which order several files come.
    """
    if record is None or record.code != CODE or record.content != content or len(content) > 1:
        return ""
    return record.output_digest if are_as_recorded(read, record.settings) else ""


def _probe_fetched(resource: Resource, surroundings: Surroundings) -> Probe:
    """Rows that are fetched by the build: their versions are known before, and they themselves perhaps not."""
    from executor.sources import fetching

    dataset: Dataset = resource.specification
    record = surroundings.record(resource)
    try:
        content = fetching.versions(dataset, surroundings.folder, _commit(dataset, record))
    except ProblemError:
        assumption = assumed(resource, surroundings, builds=True)
        if assumption is None:
            raise
        return evolve(assumption, settings=_type_of(record, dataset))
    settings: Mapping[str, Plain] = {}
    if not dataset.type:
        folder = fetching.present(dataset, content)
        settings = _told(dataset, resolved(dataset, folder)) if folder is not None else _type_of(record, dataset)
    read = dataset_of({**settings_of(dataset), **settings})
    if not read.type:
        detail = f"{resource.address} names no `type`, and its rows are not on this machine yet."
        hint = f"Set `type` to one of {', '.join(sorted(formats.load()))}."
        return Probe(diagnostics=(Diagnostic("Unknown type", detail, hint, resource.place()),))
    known = identity(settings_of(read), list(content.values()))
    facts = record.facts if record is not None and record.output_digest == known else {}
    return Probe(content, settings, known={"": known}, facts=facts, notes=_notes(settings))


def _told(dataset: Dataset, read: Dataset) -> dict[str, Plain]:
    """The settings that the rows told."""
    if read is dataset:
        return {}
    given, settings = settings_of(dataset), settings_of(read)
    return {name: value for name, value in settings.items() if value != given[name]}


def _notes(told: Mapping[str, Plain]) -> dict[str, Plain]:
    """What a plan says of settings that the recipe leaves to the rows."""
    return {"detected": dict(told)} if told else {}


def _type_of(record: Record | None, dataset: Dataset) -> dict[str, Plain]:
    """What state says of the type of rows that cannot be looked at here."""
    if record is None or dataset.type:
        return {}
    told = ("type", *formats.load()[str(record.settings["type"])].fields)
    return not_given(dataset, {name: value for name, value in record.settings.items() if name in told})


def _commit(dataset: Dataset, record: Record | None) -> str:
    """The commit of a revision, or what it was resolved to before: a plan must not move by itself."""
    if re.fullmatch(_COMMIT, dataset.revision):
        return dataset.revision
    if record is None or (record.settings.get("source"), record.settings.get("revision")) != (
        dataset.source,
        dataset.revision,
    ):
        return ""
    return record.content.get(origin.COMMIT, "")


def _no_files(resource: Resource, dataset: Dataset) -> Diagnostic:
    detail = f"{resource.address}.source names `{', '.join(sources_of(dataset))}`, which matches no file."
    hint = "Paths are relative to the recipe's folder; a folder is searched for files of a known format."
    return Diagnostic("Missing file", detail, hint, resource.place("source"))


def _refuses_skipped(record: Record, dataset: Dataset) -> bool:
    """Whether rows that were passed over when the record was made are an error now."""
    return bool(record.facts.get("skipped")) and dataset.on_bad_row == "error"


def check_unchanged(settings: Mapping[str, Plain], folder: Path, expected: str, digests: FileDigests) -> bool:
    """Whether the files are still those that were probed; what was fetched by its version cannot change."""
    dataset = dataset_of(settings)
    if origin_of(dataset, folder) is not Origin.LOCAL:
        return True
    content = origin.digests_of_files(dataset, folder, digests)
    return identity(settings, list(content.values())) == expected


def locate(record: Record, recipe_folder: Path) -> Path:
    """The folder below which the files lie; raises ProblemError if what was fetched is not on this machine."""
    from executor.sources import fetching

    return fetching.located(dataset_of(record.settings), recipe_folder, record.content)


def build(task: Task, reporter: Reporter) -> Outcome:
    """Fetch the files and read every row."""
    from executor.data.row_check import examine
    from executor.sources import fetching
    from executor.workers.task import Outcome

    dataset = dataset_of(task.settings)
    reporter.message(f"downloading {', '.join(sources_of(dataset))}")
    seen = examine(task.address, dataset, fetching.fetch(dataset, task.content))
    if found := errors(seen.wrong):
        raise ProblemError(found)
    for one in seen.wrong:
        reporter.message(one.detail)
    known = identity(task.settings, list(task.content.values()))
    return Outcome(known, facts=seen.facts, has_artifact=False)


KIND = Kind(
    name="dataset",
    specifications={"": Dataset},
    code=CODE,
    verb="re-read",
    inputs=lambda *_: {},
    check=check,
    probe=probe,
    locate=locate,
    build=build,
)
