"""Datasets to token rows: encoded, cut or refused, split, packed and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import cast

from attrs import evolve

from executor.data.broken_rows import BrokenRows
from executor.data.dataset_fields import dataset_of
from executor.kinds.dataset import check_unchanged
from executor.kinds.model import delivered, template_text
from executor.sources.detection import may_be_chats
from executor.templates import built_in
from executor.templating.turn_ends import TrainOnEos
from executor.tokens import row_cache
from executor.tokens.documents import Formatter, FormatterSettings
from executor.tokens.earlier_files import EarlierFiles
from executor.tokens.encoded_rows import EncodedRows
from executor.tokens.fitted_rows import FittedRows, fitted_rows
from executor.tokens.length_limit import Fitted, too_long
from executor.tokens.row_cache import RowCache
from executor.tokens.row_chunks import chunks
from executor.tokens.row_difference import FILE, order_digest, write_digests
from executor.tokens.row_encoding import RowEncoding
from executor.tokens.row_layout import RowLayout
from executor.tokens.token_documents import Documents
from executor.tokens.token_files import TRAIN, VALIDATION, TokenWriter
from executor.tokens.tokenizer_files import tokenizer_digest
from executor.tokens.validation_split import split
from executor.workers.software import versions
from executor.workers.task import Outcome, Task, data_moved
from executor.workers.worker_reports import Reporter
from planner.kind import Resource
from state.canonical import Plain, digest
from state.diagnostic import Diagnostic, ProblemError, problem
from state.files import FileDigests
from state.layout import Layout

CODE = 2
"""Raised when rows are encoded differently, so that nothing of an earlier way is found in the cache."""
_MOSTLY_KNOWN = 2
"""So many rows must there be for each new one, for it to be worth while to begin with them early."""
_DECIDING = ("tokenizers", "jinja2")
"""Libraries of which another version may encode differently."""


def template_for(
    settings: Mapping[str, Plain], tokenizer: Path, folder: Path, datasets: Sequence[Resource]
) -> str | None:
    """The text of the template for chats; None where there are none; raises ProblemError if it is missing."""
    chats = [one for one in datasets if may_be_chats(one.specification)]
    text = template_text(settings, tokenizer, folder)
    if chats and text is None:
        detail = f"{chats[0].address} holds chats, but the tokenizer brings no chat template."
        hint = f"Set `chat_template` of the model to one of {', '.join(built_in())}, or to a .jinja file."
        raise ProblemError(Diagnostic("No chat template", detail, hint, chats[0].place("type")))
    return text if chats else None


def formatter_of(settings: Mapping[str, Plain], tokenizer: Path, template: str | None) -> Formatter:
    """The formatter that the settings of tokens ask for."""
    return formatter_settings(settings, tokenizer, template).formatter()


def formatter_settings(settings: Mapping[str, Plain], tokenizer: Path, template: str | None) -> FormatterSettings:
    """What a formatter is made from, by the settings of tokens."""
    return FormatterSettings(
        tokenizer=tokenizer,
        template=template,
        roles_to_train=tuple(sorted(cast("Sequence[str]", settings["roles_to_train"]))),
        train_on_eos=cast("TrainOnEos", settings["train_on_eos"]),
        with_prompts=bool(settings["prompts"]),
        layout=cast("RowLayout", settings["layout"]),
    )


def tokenize(task: Task, reporter: Reporter) -> Outcome:
    """Encode every row that is new, cut or refuse the long ones, hold some back, pack the rest, write Arrow files."""
    tokenizer, template = delivered(task.one("tokenizer"), Path(task.recipe_folder))
    formatting = formatter_settings(task.settings, tokenizer, template if "chat_template" in task.inputs else None)
    known = cache_file(Path(task.tune_folder), formatting)
    formatting = evolve(formatting, proved=known.with_suffix(".proof"))
    # Questions are not kept, so that of rows with questions none are known.
    caching = row_cache.temporary(task.output_folder) if formatting.with_questions else row_cache.opened(known)
    with caching as cache, TokenWriter(task.output_folder, EarlierFiles.beside(task.output_folder)) as writer:
        with RowEncoding(formatting, cache, _expected(task), pieces=known.with_suffix(".pieces")) as encoding:
            _look_up(task, encoding, reporter)
            if encoding.is_waiting and not formatting.with_questions:
                _begin(task, writer, cache, encoding.found)
            rows = _encoded(encoding, reporter)
            writer.wait()
        fitted = _fitted(task, cache.documents(rows.numbers, cache.content()), rows)
        if long := BrokenRows.of(too_long(fitted.lengths, rows.place, *_limit(task))):
            raise ProblemError(long.diagnostics())
        return _write(task, writer, fitted, rows)


def cache_file(tune_folder: Path, formatting: FormatterSettings) -> Path:
    """Where rows that are encoded in one way are kept; it can be deleted at any time."""
    way: dict[str, Plain] = {
        "code": CODE,
        "tokenizer": tokenizer_digest(formatting.tokenizer, FileDigests()),
        "template": formatting.template,
        "roles_to_train": list(formatting.roles_to_train),
        "train_on_eos": formatting.train_on_eos,
        "libraries": {name: version(name) for name in _DECIDING},
    }
    return tune_folder / "cache" / "rows" / digest(way)


def _expected(task: Task) -> int:
    return sum(cast("int", one.facts["rows"]) for one in task.inputs["datasets"])


def _look_up(task: Task, encoding: RowEncoding, reporter: Reporter) -> None:
    """Read all rows; those that are not known are encoded later, as far as there is room for them to wait."""
    digests = FileDigests(Layout(Path(task.recipe_folder)).file_digests)
    for dataset in task.inputs["datasets"]:
        if not check_unchanged(dataset.settings, Path(dataset.folder), dataset.digest, digests):
            raise data_moved(dataset.address)
        fields = dataset_of(dataset.settings)
        for chunk in chunks(fields, Path(dataset.folder)):
            encoding.take(fields, chunk)
            reporter.progress(len(encoding.found.numbers), encoding.expected, "rows")


def _encoded(encoding: RowEncoding, reporter: Reporter) -> EncodedRows:
    """All rows; raises ProblemError with the broken ones, but for those of datasets that skip them."""
    while encoding.settle_next():
        reporter.progress(len(encoding.found.numbers), encoding.expected, "rows")
    rows = encoding.finish()
    reporter.progress(len(rows.numbers), encoding.expected, "rows")
    if rows.broken:
        raise ProblemError(rows.broken.diagnostics())
    return rows


def _begin(task: Task, writer: TokenWriter, cache: RowCache, found: EncodedRows) -> None:
    """Begin to write the first rows while others are still to be encoded; not where any of all may be held back.

    Nor where most are new: to pack them takes memory, which other processes that encode are to give back first.
    """
    if _MOSTLY_KNOWN * found.new < len(found.numbers) and not task.settings["val_set_size"]:
        fitted = _fitted(task, cache.documents(found.numbers, cache.content()), found)
        writer.begin(TRAIN, fitted.fitted.documents, fitted.form)


def _fitted(task: Task, documents: Documents, rows: EncodedRows) -> FittedRows:
    layout, packed = cast("RowLayout", task.settings["layout"]), bool(task.settings["sample_packing"])
    return fitted_rows(documents, rows.questions, layout, *_limit(task), packed=packed)


def _limit(task: Task) -> tuple[int, str]:
    return cast("int", task.settings["sequence_len"]), str(task.settings["excess_length_strategy"])


def _write(task: Task, writer: TokenWriter, rows: FittedRows, encoded: EncodedRows) -> Outcome:
    fitted = rows.fitted
    training, held_back = _split(task, fitted, len(rows.lengths))
    files = writer.rows(TRAIN, fitted.documents, training, rows.form)
    if held_back:
        writer.rows(VALIDATION, fitted.documents, held_back, rows.held_back_form)
    if task.settings["prompts"] and encoded.questions:
        writer.prompts([(one.ids, one.reference) for one in encoded.questions])
    facts: dict[str, Plain] = {
        **rows.statistics(files, training),
        "truncated": fitted.truncated,
        "dropped": fitted.dropped,
        "untrained": fitted.untrained,
        **_of_rows(rows.lengths, encoded),
        "row_set": write_digests(task.output_folder / FILE, encoded.digests),
        "validation_rows": len(held_back),
    }
    return Outcome(writer.digest, facts=facts, versions=versions())


def _split(task: Task, fitted: Fitted, count: int) -> tuple[Sequence[int], Sequence[int]]:
    """The rows to train on and those held back; raises ProblemError if there are none to train on."""
    share, seed = cast("float", task.settings["val_set_size"]), cast("int", task.settings["split_seed"])
    training, held_back = split(fitted, share, seed)
    if not training:
        detail = (
            f"{task.address} has no rows left: {fitted.dropped} of {count} were dropped, {len(held_back)} held back."
        )
        raise problem("No rows", detail, "Raise `sequence_len`, or lower `val_set_size`.")
    return training, held_back


def _of_rows(lengths: Sequence[int], rows: EncodedRows) -> dict[str, Plain]:
    """What all rows are like before any limit, and their identity with and without their order."""
    import numpy as np

    sufficient = [2**power for power in range(32)]
    counts = np.bincount(np.searchsorted(sufficient, np.asarray(lengths)), minlength=len(sufficient)).tolist()
    return {
        "lengths": {str(most): count for most, count in zip(sufficient, counts, strict=True) if count},
        "encoded_rows": rows.new,
        "encoder": rows.encoder,
        "skipped": rows.skipped,
        "row_order": order_digest(rows.digests),
    }
