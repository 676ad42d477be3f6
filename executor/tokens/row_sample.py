"""The first rows of some tokens as a model will see them, read while planning: without torch, tables or a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from executor.applying.probe import Surroundings
from executor.data.broken_rows import BrokenRows
from executor.data.row_check import faults
from executor.data.rows import BrokenRow
from executor.kinds.tokens import Tokens, readable_with
from executor.sources.detection import resolved
from executor.sources.origin import rows
from executor.templating.template_lint import lint_model
from executor.tokens.documents import Document
from executor.tokens.length_limit import too_long
from executor.tokens.supervision import RowSummary, overlap, summarise, supervision
from executor.tokens.tokenizing import formatter_settings, template_for
from planner.kind import Resource
from planner.structure import settings_of
from state.diagnostic import Diagnostic, ProblemError
from state.values import frozen

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
    broken: list[BrokenRow] = []
    complete = True
    for dataset in (resolved(one.specification, folder) for one in datasets):
        remaining = rows(dataset, folder)
        first, refused = list(islice(remaining, MOST_ROWS)), list[BrokenRow]()
        for one in formatting.documents(dataset, iter(first)):
            if isinstance(one, Document):
                cut = limit if strategy == "truncate" else sys.maxsize
                found.append(summarise(one.place, one.encoded, cut, tokens.layout))
            else:
                refused.append(one)
        if refused and dataset.on_bad_row == "error":
            told = {row.place for row in first if isinstance(row, BrokenRow) or any(faults(row, dataset))}
            broken += [one for one in refused if one.place not in told]
        complete = complete and next(remaining, None) is None
    broken += too_long([one.length for one in found], lambda at: found[at].place, limit, strategy)
    losses = supervision(found, limit, complete=complete) if strategy == "truncate" else ()
    fitting = lint_model(model, tokenizer, formatting.tokenizer, formatting.template)
    return Sample(tuple(found), complete, (*BrokenRows.of(broken).diagnostics(), *fitting, *losses))
