"""What fields of a `[dataset.NAME]` say against each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from operator import attrgetter

from executor import formats
from executor.data.dataset_fields import Dataset, reading_fields
from executor.models import hub
from executor.sources.file_formats import suffix
from executor.sources.origin import sources_of
from executor.sources.paths import is_glob


def faults(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    """What is wrong with the fields together: path, detail, hint."""
    addresses = ["://" in source for source in sources_of(dataset)]
    if any(addresses) and not all(addresses):
        yield "source", "a list holds either files or addresses.", "Make two datasets of them."
    if dataset.revision and (len(addresses) > 1 or not hub.is_id(sources_of(dataset)[0])):
        yield "revision", "only a hub id has a revision.", "Remove `revision`."
    if dataset.name and (len(addresses) > 1 or suffix(sources_of(dataset)[0]) or is_glob(sources_of(dataset)[0])):
        yield "name", "only a hub id or a folder has configurations.", "Remove `name`."
    yield from _unread(dataset)


def _unread(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    """Fields that say how rows are read, and that rows of this type are not read by."""
    values, defaults = _reading()(dataset), _read_by_default()
    if not dataset.type or values == defaults:  # of nearly all, so that no other format has to be loaded
        return
    given = [name for name, one, other in zip(reading_fields(), values, defaults, strict=True) if one != other]
    for one in given:
        types = [name for name, form in formats.load().items() if one in form.fields]
        if dataset.type not in types:
            detail = f"rows of the type `{dataset.type}` are not read by `{one}`, which would do nothing."
            yield one, detail, f"Remove it; it is for {', '.join(sorted(types))}."
    if dataset.type == "alpaca" and dataset.prompt_style == "chat_template":
        for one in filter(partial(getattr, dataset), ("format", "no_input_format")):
            yield one, f"`{one}` is no part of a chat template, which `prompt_style` asks for.", "Remove it."


@cache
def _reading() -> attrgetter[tuple[object, ...]]:
    """Takes what a dataset says of how rows are read."""
    return attrgetter(*reading_fields())


@cache
def _read_by_default() -> tuple[object, ...]:
    return _reading()(Dataset(source="-"))
