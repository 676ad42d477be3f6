"""Builds of `tokens` as a worker does them, one after another, with the time that each takes."""

from __future__ import annotations

import mmap
import shutil
import tempfile
from array import array
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path

from benchmarks.clock import Clock, best
from benchmarks.tokenize_data import EDITS, SEQUENCE_LEN, lengths
from executor.data.dataset_fields import Dataset
from executor.kinds.dataset import identity
from executor.kinds.tokens import Tokens
from executor.workers.task import Input, Task
from executor.workers.worker_reports import Reporter
from planner.structure import settings_of
from state import artifacts
from state.canonical import Plain
from state.files import FileDigests
from state.layout import Layout

TOKENS = "tokens"
_REPEATS = 3


def by_tune(folder: Path) -> dict[str, float]:
    """tune's, with and without packing; after the latter once more for each edit, and all of that for many rows."""
    import jinja2
    import numpy as np
    import pyarrow as pa
    import tokenizers

    del jinja2, np, pa, tokenizers  # imported before the clock runs, as the other side's are
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        rows, _ = build("rows", folder, Path(scratch, "unpacked"), "chats.jsonl", sample_packing=False)
        shutil.rmtree(folder / "tune", ignore_errors=True)
        Path(scratch, "unpacked", "artifacts", "chats.jsonl").rename(folder / "tune")
        taken, facts = with_edits("", folder, Path(scratch, "some"))
        many, _ = with_edits("many_", folder, Path(scratch, "many"))
    return {**rows, **taken, **many, TOKENS: float(str(facts["tokens"]))}


def with_edits(prefix: str, folder: Path, tune_folder: Path) -> tuple[dict[str, float], Mapping[str, Plain]]:
    """What packed rows take from nothing, and then after each edit of these; and the facts of the first."""
    taken, facts = build(f"{prefix}packed_rows", folder, tune_folder, f"{prefix}chats.jsonl", sample_packing=True)
    for edit in EDITS:
        name = f"{prefix}{edit}"
        taken |= build(name, folder, tune_folder, f"{edit}_{prefix}chats.jsonl", sample_packing=True)[0]
    return taken, facts


def build(
    name: str, folder: Path, tune_folder: Path, source: str, *, sample_packing: bool
) -> tuple[dict[str, float], Mapping[str, Plain]]:
    """The seconds that a build of tokens takes, by name, and the facts that it records; published behind the clock."""
    from executor.tokens.tokenizing import tokenize

    task = _task(folder, tune_folder, source, sample_packing=sample_packing)
    clock = Clock()
    outcome = tokenize(task, Reporter(task.address, lambda _: None))
    taken = clock.read(name)
    artifacts.publish(task.output_folder, {})
    return {**taken, **clock.read(f"{name}_published")}, outcome.facts


def _task(folder: Path, tune_folder: Path, source: str, *, sample_packing: bool) -> Task:
    dataset = Dataset(source=source, type="chat_template")
    (folder / ".tune").mkdir(exist_ok=True)
    digests = FileDigests(Layout(folder).file_digests)
    content = digests.digest(folder / source)  # as a plan does, which remembers it
    digests.save()
    with (folder / source).open("rb") as file:
        rows = sum(1 for _ in file)
    model: dict[str, Plain] = {
        "source": "tokenizer",
        "chat_template": "tokenizer",
        "config": {},
        "tokenizer": "tokenizer",
    }
    wanted = Tokens(
        datasets=("dataset.chats",),
        model="model.tiny",
        sequence_len=SEQUENCE_LEN,
        excess_length_strategy="truncate",
        roles_to_train=("assistant",),
        sample_packing=sample_packing,
    )
    output = tune_folder / "artifacts" / source
    output.mkdir(parents=True)
    known = identity(settings_of(dataset), [content])
    read = Input("dataset.chats", known, str(folder), settings_of(dataset), {"rows": rows})
    tokenizer = Input("model.tiny", "", str(folder / "tokenizer"), model, {})
    return Task(
        address="tokens.sft",
        kind="tokens",
        settings=settings_of(wanted),
        content={},
        inputs={"datasets": (read,), "tokenizer": (tokenizer,), "chat_template": (tokenizer,)},
        recipe_folder=str(folder),
        output=str(output),
        checkpoints="",
        tune_folder=str(tune_folder),
    )


def pack_alone(scratch: Path) -> tuple[dict[str, float], float]:
    """Seconds to put documents into rows and write them, and how full the rows are."""
    from executor.tokens.document_files import DocumentRows
    from executor.tokens.earlier_files import EarlierFiles
    from executor.tokens.token_documents import Documents
    from executor.tokens.token_files import TRAIN, TokenWriter
    from executor.tokens.token_group import RowSizes

    sizes = array("i", lengths())
    starts = array("q", accumulate((8 * size for size in sizes[:-1]), initial=0))
    (scratch / "documents").write_bytes(array("i", [1]).tobytes() * (2 * sum(sizes)))
    with (scratch / "documents").open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    documents = Documents(content, starts, array("q", [4 * size for size in sizes]), sizes, sizes)
    taken = []
    for repeat in range(_REPEATS):
        output = scratch / f"packed-{repeat}"
        output.mkdir()
        clock = Clock()
        with TokenWriter(output, EarlierFiles({})) as writer:
            files = writer.rows(TRAIN, documents, range(len(sizes)), DocumentRows(SEQUENCE_LEN))
        rows = sum(RowSizes.of(one).count for one in files)
        taken.append(clock.read("packing"))
    return best(taken), sum(sizes) / (rows * SEQUENCE_LEN)
