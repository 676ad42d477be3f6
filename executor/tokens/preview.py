"""What a training run would see of its data: rows decoded again, and numbers over all of them; nothing is written."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import islice
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from executor.data.dataset_fields import Dataset
from executor.data.rows import BrokenRow
from executor.kinds.model import Model, recorded_commit
from executor.kinds.tokens import LIBRARIES, Tokens
from executor.models import hub
from executor.sources import fetching, origin
from executor.sources.detection import resolved
from executor.sources.origin import Origin, origin_of, sources_of
from executor.templating.template_lint import lint_model
from executor.tokens.decoding import Part, parts
from executor.tokens.documents import Document
from executor.tokens.row_layout import RowLayout
from executor.tokens.supervision import RowSummary, overlap, summarise, supervision
from executor.tokens.tokenizer_files import has_tokenizer
from executor.tokens.tokenizing import formatter_of, template_for
from executor.tokens.vocabulary import extended
from planner.kind import Resource, Resources
from planner.structure import settings_of
from state.diagnostic import Diagnostic, ProblemError, problem
from state.layout import Layout
from state.record import Record, State
from state.values import frozen
from state.wording import suggestion

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from executor.tokens.documents import Formatter

MOST_ROWS = 10_000
"""Rows of each dataset that are read; more would tell nothing new, and a preview is there at once."""
BARS = 10


@frozen
class ShownRow:
    """One row, decoded."""

    number: int
    """Its place among the sound rows, from 1 on."""
    summary: RowSummary
    parts: tuple[Part, ...]


@frozen
class Preview:
    """The data of one run as its model sees it."""

    address: str
    datasets: tuple[str, ...]
    model: str
    template: str
    """As the recipe names it."""
    limit: int
    strategy: str
    """What becomes of rows over the limit."""
    rows: tuple[RowSummary, ...]
    broken: tuple[BrokenRow, ...]
    shown: tuple[ShownRow, ...]
    complete: bool
    """Whether these are all rows of the datasets."""
    evaluates: bool
    """Whether the rows are evaluated on, and not trained on."""
    diagnostics: tuple[Diagnostic, ...]
    """What is wrong with the template for this model, and with the rows under the length limit."""

    @property
    def longest(self) -> tuple[RowSummary, ...]:
        """The ten longest rows, longest first."""
        return tuple(sorted(self.rows, key=lambda row: -row.length)[:10])

    @property
    def too_long(self) -> tuple[RowSummary, ...]:
        """Rows over the length limit."""
        return tuple(row for row in self.rows if row.length > self.limit)

    def histogram(self) -> tuple[tuple[int, int, int], ...]:
        """Numbers of rows by tokens: (from, to, rows), in at most BARS equal steps of a round width.

        The longest hundredth of the rows, however long, has one more step: a few long rows must not hide the others.
        """
        lengths = sorted(row.length for row in self.rows)
        if not lengths:
            return ()
        usual = lengths[len(lengths) - 1 - len(lengths) // 100]
        width = _round_width(usual)
        first, behind = lengths[0] // width, usual // width + 1
        counts = Counter(min(length // width, behind) for length in lengths)
        edges = [(at * width, (at + 1) * width - 1) for at in range(first, behind)]
        if counts[behind]:
            edges.append((behind * width, lengths[-1]))
        return tuple((low, high, counts[low // width]) for low, high in edges)


def _round_width(most: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 ... in whose steps lengths up to `most` need no more than BARS."""
    power: int = 10 ** max(0, int(log10(max(1, most))) - 1)
    return next(step for step in (power * factor for factor in (1, 2, 5, 10, 20)) if most // step < BARS)


def choose(resources: Resources, address: str | None) -> tuple[Resource, ...]:
    """The tokens that an address means: its own, those of a run or evaluation, those made of a dataset; or all."""
    tokens = [one for one in resources.values() if one.kind.name == "tokens"]
    if address is None:
        return tuple(tokens)
    if address in resources and resources[address].kind.name == "dataset":
        of_dataset = [evolve(one, specification=_only(one, address)) for one in tokens if _reads(one, address)]
        if not of_dataset:
            detail = f"{address} is read by nothing in this recipe, so that no model says how."
            raise problem("Nothing to preview", detail, "Name it in the `datasets` of a train or eval table.")
        return tuple(of_dataset)
    found = tuple(one for one in tokens if address in (one.address, one.derived_from))
    if not found:
        read = (address for one in tokens for address in one.specification.datasets)
        known = list(dict.fromkeys((*(one.derived_from or one.address for one in tokens), *read)))
        detail = f"`{address}` has no rows to show."
        raise problem("Unknown address", detail, suggestion(address, known) or f"Known: {', '.join(known)}.")
    return found


def _reads(tokens: Resource, dataset: str) -> bool:
    specification: Tokens = tokens.specification
    return dataset in specification.datasets


def _only(tokens: Resource, dataset: str) -> Tokens:
    specification: Tokens = tokens.specification
    return evolve(specification, datasets=(dataset,))


def preview(tokens: Resource, resources: Resources, folder: Path, state: State, wanted: range) -> Preview:
    """Read the rows of some tokens as a run would, and decode those whose places (from 1 on) are wanted."""
    specification: Tokens = tokens.specification
    model, datasets = resources[specification.model], [resources[one] for one in specification.datasets]
    tokenizer = tokenizer_folder(model, folder, state)
    tokenizer = extended(tokenizer, settings_of(model.specification), Layout(folder).tokenizers)
    known = [_resolved(one, folder, state) for one in datasets]
    formatting = _formatter(tokens, model, [one for one, _ in known], tokenizer, folder)
    strategy = specification.excess_length_strategy
    limit = specification.sequence_len if strategy != "split" else sys.maxsize
    reading = _Reading(formatting.tokenizer, limit, wanted, specification.layout)
    for dataset, place in known:
        reading.take(formatting.documents(dataset.specification, origin.rows(dataset.specification, place)))
    cut = supervision(reading.rows, reading.limit, complete=reading.complete) if strategy == "truncate" else ()
    return Preview(
        address=tokens.address,
        datasets=specification.datasets,
        model=model.address,
        template=model.specification.chat_template if formatting.template is not None else "",
        limit=specification.sequence_len,
        strategy=strategy,
        rows=tuple(reading.rows),
        broken=tuple(reading.broken),
        shown=tuple(reading.shown),
        complete=reading.complete,
        evaluates=_evaluates(tokens, resources),
        diagnostics=(*lint_model(model, tokenizer, formatting.tokenizer, formatting.template), *cut),
    )


def _evaluates(tokens: Resource, resources: Resources) -> bool:
    """Whether tokens are those of an evaluation, or the ones that a run is measured on while it trains."""
    reader = resources.get(tokens.derived_from)
    if reader is None:
        return False
    tests = reader.kind.inputs(reader, resources).get("test_datasets", ())
    return reader.kind.name == "eval" or tokens.address in [one.address for one in tests]


@define
class _Reading:
    """What has been read so far."""

    tokenizer: Tokenizer
    limit: int
    wanted: range
    layout: RowLayout
    rows: list[RowSummary] = field(factory=list)
    broken: list[BrokenRow] = field(factory=list)
    shown: list[ShownRow] = field(factory=list)
    complete: bool = True

    def take(self, documents: Iterator[Document | BrokenRow]) -> None:
        """Read the first rows of a dataset."""
        for document in islice(documents, MOST_ROWS):
            if isinstance(document, BrokenRow):
                self.broken.append(document)
                continue
            self.rows.append(summarise(document.place, document.encoded, self.limit, self.layout))
            if len(self.rows) in self.wanted:
                decoded = parts(self.tokenizer, document.encoded, self.limit, self.layout)
                self.shown.append(ShownRow(len(self.rows), self.rows[-1], decoded))
        self.complete = self.complete and next(documents, None) is None


def with_overlaps(previews: Sequence[Preview]) -> list[Preview]:
    """The same previews, those of evaluations with a warning if some of their rows are trained on."""
    training = [row for one in previews if not one.evaluates for row in one.rows]
    return [
        evolve(one, diagnostics=(*one.diagnostics, *overlap(training, one.rows))) if one.evaluates else one
        for one in previews
    ]


def _resolved(resource: Resource, folder: Path, state: State) -> tuple[Resource, Path]:
    """A dataset with its type, and where its files lie: they are fetched if they are not here yet."""
    dataset: Dataset = resource.specification
    try:
        if origin_of(dataset, folder) is not Origin.LOCAL:
            folder = fetching.fetch(dataset, _versions(dataset, folder, state.records.get(resource.address)))
        elif not origin.named_files(dataset, folder):
            detail = f"{resource.address}.source names `{', '.join(sources_of(dataset))}`, which matches no file."
            raise problem("Missing file", detail, "Paths are relative to the recipe's folder.")
        return evolve(resource, specification=resolved(dataset, folder)), folder
    except ProblemError as error:
        raise ProblemError(tuple(one.at(resource.place("source")) for one in error.diagnostics)) from None


def _versions(dataset: Dataset, folder: Path, record: Record | None) -> Mapping[str, str]:
    """What identifies rows that lie elsewhere: those that state knows, as long as the recipe still means them."""
    known = (record.settings.get("source"), record.settings.get("revision")) if record is not None else None
    if record is not None and known == (dataset.source, dataset.revision):
        return record.content
    return fetching.versions(dataset, folder, "")


def _formatter(
    tokens: Resource, model: Resource, datasets: Sequence[Resource], tokenizer: Path, folder: Path
) -> Formatter:
    missing = [library for library in LIBRARIES if find_spec(library) is None]
    if missing:
        detail = f"To see rows as a model does takes {' and '.join(missing)}."
        raise problem("Missing library", detail, f"Install: pip install {' '.join(missing)}")
    try:
        template = template_for(settings_of(model.specification), tokenizer, folder, datasets)
        return formatter_of(settings_of(tokens.specification), tokenizer, template)
    except ProblemError as error:
        raise ProblemError(tuple(one.at(model.place("chat_template")) for one in error.diagnostics)) from None


def tokenizer_folder(model: Resource, folder: Path, state: State) -> Path:
    """Where the tokenizer of a model is on this machine."""
    specification: Model = model.specification
    named = specification.tokenizer or specification.source
    if has_tokenizer(folder / named):
        return folder / named
    revision = recorded_commit(specification, state.records.get(model.address)) or specification.revision or "main"
    if hub.is_id(named) and find_spec("huggingface_hub") is not None:
        with suppress(ProblemError):
            return hub.snapshot(named, revision)
    detail = f"The tokenizer of {model.address} (`{named}`) is not on this machine."
    hint = "A folder is relative to the recipe; a hub model is here once it was downloaded, as `tune apply` does."
    raise problem("Model not here", detail, hint, model.place("source"))
