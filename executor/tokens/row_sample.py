"""The first rows of some tokens as a model will see them, read while planning: without torch, tables or a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from math import ceil
from pathlib import Path

from executor.applying.probe import Surroundings
from executor.data.broken_rows import BrokenRows
from executor.data.chat_messages import REASONING
from executor.data.dataset_fields import Dataset
from executor.data.message_fields import names
from executor.data.named_columns import listed
from executor.data.row_check import faults
from executor.data.rows import BrokenRow, Row
from executor.kinds.tokens import Tokens, readable_with
from executor.sources.detection import may_be_chats, resolved
from executor.sources.origin import rows
from executor.templating.template_lint import lint_model, unwritten_reasoning, unwritten_role
from executor.tokens.documents import Document
from executor.tokens.length_limit import too_long
from executor.tokens.supervision import RowSummary, dropped, overlap, summarise, supervision
from executor.tokens.tokenizing import formatter_settings, template_for
from planner.kind import Resource
from planner.structure import settings_of
from state.diagnostic import Diagnostic, Place, ProblemError
from state.values import frozen

ASKING = ("system", "user")
"""The roles whose messages are what an answer is to: a template that passes over them trains answers to nothing."""
MOST_ROWS = 2000
"""Rows of each dataset that are read: a plan is there at once, and what is wrong with data is mostly wrong early."""


@frozen
class Sample:
    """What the first rows are like."""

    rows: tuple[RowSummary, ...]
    complete: bool
    """Whether these are all rows."""
    diagnostics: tuple[Diagnostic, ...]
    """What is wrong with them that their dataset does not tell, with the template, and under the length limit."""


NOTHING = Sample((), complete=True, diagnostics=())


def sample(resource: Resource, tokenizer: Path, surroundings: Surroundings) -> Sample:
    """The first rows of each dataset of some tokens, once for all who ask; raises ProblemError if none can be read."""
    found = surroundings.samples.get(resource.address)
    if found is None:
        found = surroundings.samples[resource.address] = _sample(resource, tokenizer, surroundings)
    return found


def overlaps(evaluation: Resource, training: Sequence[Resource], surroundings: Surroundings) -> tuple[Diagnostic, ...]:
    """A warning if the first rows to evaluate on are among the first ones to train on, as far as they can be read."""
    read = []
    for one in (evaluation, *training):
        tokenizer = readable_with(one, surroundings)
        with suppress(ProblemError):  # which the tokens themselves report
            read.append(sample(one, tokenizer, surroundings) if tokenizer is not None else NOTHING)
    if len(read) <= len(training):
        return ()
    first, *others = read
    return overlap([row for one in others for row in one.rows], first.rows, complete=first.complete)


def _sample(resource: Resource, tokenizer: Path, surroundings: Surroundings) -> Sample:
    tokens: Tokens = resource.specification
    folder, limit, strategy = surroundings.folder, tokens.sequence_len, tokens.excess_length_strategy
    model, datasets = surroundings.resources[tokens.model], [surroundings.resources[one] for one in tokens.datasets]
    template = template_for(settings_of(model.specification), tokenizer, folder, datasets)
    formatting = formatter_settings(settings_of(tokens), tokenizer, template).formatter(tables=False)
    found: list[RowSummary] = []
    broken, skipped, thinking, asking = list[BrokenRow](), list[Diagnostic](), list[Place](), dict[str, Place]()
    complete, left_out = True, 0
    for source, dataset in ((one.address, resolved(one.specification, folder)) for one in datasets):
        remaining = rows(dataset, folder)
        first, refused = list(islice(remaining, MOST_ROWS)), list[BrokenRow]()
        for one in formatting.documents(dataset, iter(first)):
            if isinstance(one, Document):
                cut = limit if strategy == "truncate" else sys.maxsize
                found.append(summarise(one.place, one.encoded, cut, tokens.layout))
            else:
                refused.append(one)
        refused = _untold(refused, first, dataset)
        if dataset.on_bad_row == "skip":
            left_out += len(refused)
            skipped += BrokenRows.of(refused).skipped(source, len(first))
        else:
            broken += refused
        thinking += _with_reasoning(first, dataset)
        asking = {**_with_roles(first, dataset), **asking}
        complete = complete and next(remaining, None) is None
    broken += too_long([one.length for one in found], lambda at: found[at].place, limit, strategy)
    if complete and not broken:
        skipped += _nothing_left(resource, found, left_out)
    fitting = lint_model(model, tokenizer, formatting.tokenizer, formatting.template)
    if formatting.template is not None:
        fitting += unwritten_reasoning(model, formatting.template, thinking[0]) if thinking else ()
        for role, place in asking.items():
            fitting += unwritten_role(model, formatting.template, role, place)
    told = (*BrokenRows.of(broken).diagnostics(), *fitting, *skipped, *_losses(tokens, found, complete=complete))
    return Sample(tuple(found), complete, told)


def _with_reasoning(rows: Iterable[Row | BrokenRow], dataset: Dataset) -> list[Place]:
    """Where the first row lies whose messages hold reasoning; nothing where there is none."""
    names = {str(dataset.message_property_mappings.get(name, name)) for name in REASONING}
    sound = (row for row in rows if isinstance(row, Row))
    found = (row.place for row in sound if any(one.get(name) for one in listed(row.values) for name in names))
    return list(islice(found, 1))


def _with_roles(rows: Iterable[Row | BrokenRow], dataset: Dataset) -> dict[str, Place]:
    """Where the first message of each role lies that asks, of rows that a chat template renders."""
    if not may_be_chats(dataset):
        return {}
    properties = dataset.message_property_mappings
    role = str(properties.get("role", "from" if dataset.type == "sharegpt" else "role"))
    roles = names(dataset).roles
    found: dict[str, Place] = {}
    for row in (one for one in rows if isinstance(one, Row)):
        for said in {str(one.get(role)) for one in listed(row.values)}:
            name = roles.get(said, said)
            if name in ASKING:
                found.setdefault(name, row.place)
        if dataset.system_prompt or row.values.get(dataset.field_system):
            found.setdefault("system", row.place)
        if len(found) == len(ASKING):
            break
    return found


def _untold(refused: Sequence[BrokenRow], first: Sequence[Row | BrokenRow], dataset: Dataset) -> list[BrokenRow]:
    """Those rows of the first ones whose dataset finds nothing wrong with them."""
    told = {row.place for row in first if isinstance(row, BrokenRow) or any(faults(row, dataset))} if refused else ()
    return [one for one in refused if one.place not in told]


def _losses(tokens: Tokens, rows: Sequence[RowSummary], *, complete: bool) -> tuple[Diagnostic, ...]:
    """Warnings about what the length limit does to rows."""
    lost = {"truncate": supervision, "drop": dropped}.get(tokens.excess_length_strategy)
    return lost(rows, tokens.sequence_len, complete=complete) if lost is not None else ()


def _nothing_left(resource: Resource, rows: Sequence[RowSummary], skipped: int) -> tuple[Diagnostic, ...]:
    """An error where no row of all is left to train on, which the build would find out later."""
    tokens: Tokens = resource.specification
    drops = tokens.excess_length_strategy == "drop"
    gone = sum((row.trained and row.trains_nothing) or (drops and row.length > tokens.sequence_len) for row in rows)
    held_back = ceil(tokens.val_set_size * (len(rows) - gone))
    if gone + held_back < len(rows) or not (rows or skipped):
        return ()
    which = f"{skipped} are skipped, {gone} dropped, {held_back} held back"
    detail = f"{resource.address} has no rows left: of {len(rows) + skipped}, {which}."
    hint = "Raise `sequence_len`, or lower `val_set_size`."
    return (Diagnostic("No rows", detail, hint, resource.place("sequence_len")),)
