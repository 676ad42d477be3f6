"""Datasets to token rows: formatted, cut or refused, split, packed and written."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from executor.documents import Document, Formatter, formatter
from executor.encoding import Encoded
from executor.kinds.dataset import Dataset, broken_rows, check_unchanged, named_files
from executor.kinds.model import delivered, template_text
from executor.packing import pack
from executor.rows import BrokenRow
from executor.software import versions
from executor.task import Input, Outcome, Task, data_moved
from executor.token_files import (
    PROMPTS,
    TRAIN,
    VALIDATION,
    TokenRow,
    digest_rows,
    row_of,
    statistics,
    write_prompts,
    write_rows,
)
from executor.worker_reports import Reporter
from planner.kind import Resource
from state.canonical import Plain
from state.diagnostic import Diagnostic, ProblemError, problem


def template_for(
    settings: Mapping[str, Plain], tokenizer: Path, folder: Path, datasets: Sequence[Resource]
) -> str | None:
    """The text of the template for chats; None where there are none; raises ProblemError if it is missing."""
    chats = [one for one in datasets if one.specification.type == "chat_template"]
    text = template_text(settings, tokenizer, folder)
    if chats and text is None:
        detail = f"{chats[0].address} holds chats, but the tokenizer brings no chat template."
        hint = "Set `chat_template` of the model to a .jinja file."
        raise ProblemError(Diagnostic("No chat template", detail, hint, chats[0].place("type")))
    return text if chats else None


def formatter_of(settings: Mapping[str, Plain], tokenizer: Path, template: str | None) -> Formatter:
    """The formatter that the settings of tokens ask for."""
    roles = cast("Sequence[str]", settings["roles_to_train"])
    return formatter(tokenizer, template, roles, with_prompts=bool(settings["prompts"]))


def tokenize(task: Task, reporter: Reporter) -> Outcome:
    """Format every row, cut or refuse the long ones, hold some back, pack the rest, write Arrow files."""
    documents = _read(task, reporter)
    kept, cut, dropped = _fit(documents, task.settings)
    training, held_back = _split(kept, task.settings)
    packed = _rows(training, task.settings)
    if not packed:
        detail = (
            f"{task.address} has no rows left: {dropped} of {len(documents)} were dropped, {len(held_back)} held back."
        )
        raise problem("No rows", detail, "Raise `sequence_len`, or lower `val_set_size`.")
    parts = {TRAIN: packed}
    if held_back:
        parts[VALIDATION] = _rows(held_back, {**task.settings, "sample_packing": False})
    for name, rows in parts.items():
        write_rows(task.output_folder / name, rows)
    prompts = [(one.prompt.ids, one.prompt.reference) for one in documents if one.prompt is not None]
    if prompts:
        write_prompts(task.output_folder / PROMPTS, prompts)
    facts: dict[str, Plain] = {**statistics(packed), "truncated": cut, "dropped": dropped}
    facts["validation_rows"] = len(held_back)
    return Outcome(digest_rows(parts, prompts), facts=facts, versions=versions())


def _read(task: Task, reporter: Reporter) -> list[Document]:
    """All rows as documents; raises ProblemError with the broken ones."""
    folder, model = Path(task.recipe_folder), task.one("tokenizer")
    tokenizer, template = delivered(model, folder)
    formatting = formatter_of(task.settings, tokenizer, template if "chat_template" in task.inputs else None)
    total = sum(cast("int", one.facts["rows"]) for one in task.inputs["datasets"])
    documents, broken = list[Document](), list[BrokenRow]()
    for dataset in task.inputs["datasets"]:
        for one in _documents(dataset, formatting, folder):
            (documents if isinstance(one, Document) else broken).append(one)  # type: ignore[arg-type]  # told apart
            reporter.progress(len(documents), total, "rows")
    if broken:
        raise ProblemError(broken_rows(broken))
    return documents


def _documents(dataset: Input, formatting: Formatter, folder: Path) -> Iterator[Document | BrokenRow]:
    if not check_unchanged(dataset.settings, folder, dataset.digest):
        raise data_moved(dataset.address)
    fields = Dataset(**dict(dataset.settings))  # type: ignore[arg-type]  # recorded settings
    return formatting.documents(fields, named_files(dataset.settings["source"], folder))


def _fit(documents: Sequence[Document], settings: Mapping[str, Plain]) -> tuple[list[Encoded], int, int]:
    """The documents that fit, how many were cut and how many left out."""
    limit = cast("int", settings["sequence_len"])
    if refused := too_long(documents, settings):
        raise ProblemError(broken_rows(refused))
    long = [one for one in documents if len(one.encoded.ids) > limit]
    if settings["excess_length_strategy"] == "drop":
        return [one.encoded for one in documents if len(one.encoded.ids) <= limit], 0, len(long)
    cut = [Encoded(one.encoded.ids[:limit], one.encoded.labels[:limit]) for one in documents]
    trained = [one for one in cut if any(label >= 0 for label in one.labels)]
    return trained, len(long), len(cut) - len(trained)


def too_long(documents: Sequence[Document], settings: Mapping[str, Plain]) -> list[BrokenRow]:
    """The rows that are longer than is allowed, where the recipe says that this is an error."""
    limit = cast("int", settings["sequence_len"])
    if settings["excess_length_strategy"] != "error":
        return []
    why = "has {} tokens, more than `sequence_len` = {}; set `excess_length_strategy`, or raise the limit"
    lengths = ((one.place, len(one.encoded.ids)) for one in documents)
    return [BrokenRow(place, why.format(length, limit)) for place, length in lengths if length > limit]


def _split(documents: Sequence[Encoded], settings: Mapping[str, Plain]) -> tuple[list[Encoded], list[Encoded]]:
    """Training rows in their order, and the rows held back for validation."""
    share = cast("float", settings["val_set_size"])
    if not share:
        return list(documents), []
    order = list(range(len(documents)))
    random.Random(cast("int", settings["split_seed"])).shuffle(order)  # noqa: S311  no secret depends on it
    held_back = set(order[: math.ceil(share * len(documents))])
    return (
        [one for at, one in enumerate(documents) if at not in held_back],
        [one for at, one in enumerate(documents) if at in held_back],
    )


def _rows(documents: Sequence[Encoded], settings: Mapping[str, Plain]) -> list[TokenRow]:
    if not settings["sample_packing"]:
        return [row_of([one]) for one in documents]
    bins = pack([len(one.ids) for one in documents], cast("int", settings["sequence_len"]))
    return [row_of([documents[at] for at in group]) for group in bins]
