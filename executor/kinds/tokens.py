"""`tokens.NAME`, derived: a view of datasets as one model sees it; ids, labels and boundaries, ready to train on."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from itertools import islice
from typing import Literal

from attrs import frozen

from executor.kinds.dataset import broken_rows, named_files
from executor.probe import Surroundings
from executor.rows import BrokenRow
from executor.task import Outcome, Task
from executor.tokenizer_files import has_tokenizer
from executor.worker_reports import Reporter
from planner.effects import Effect, reference, setting
from planner.kind import Kind, Probe, Resource, Resources, Source
from planner.structure import settings_of
from state.diagnostic import ProblemError

CODE = 1
LIBRARIES = ("tokenizers", "jinja2")
"""What reading rows as a model sees them takes; a machine that only plans may lack them."""
SAMPLE_ROWS = 2000
"""Rows of each dataset that a plan reads as the model would, where the libraries for it are installed."""


@frozen
class Tokens:
    """What decides the tokens; filled in from the train or eval table that they are for."""

    datasets: tuple[str, ...] = reference("dataset")
    model: str = reference("model")
    sequence_len: int = setting(effect=Effect.REBUILD, why="rows are cut or refused elsewhere")
    excess_length_strategy: Literal["error", "drop", "truncate"] = setting(
        effect=Effect.REBUILD, why="long rows are treated differently"
    )
    roles_to_train: tuple[str, ...] = setting(effect=Effect.REBUILD, why="other tokens carry the loss")
    sample_packing: bool = setting(default=False, effect=Effect.REBUILD, why="rows are combined differently")
    val_set_size: float = setting(0.0, effect=Effect.REBUILD, why="other rows are held back")
    split_seed: int = setting(0, effect=Effect.REBUILD, why="other rows are held back")
    """0 where no rows are held back, so that a training seed does not re-tokenize for nothing."""
    prompts: bool = setting(default=False, effect=Effect.REBUILD, why="questions are kept for generation")


def inputs(resource: Resource, resources: Resources) -> Mapping[str, tuple[Source, ...]]:
    """The rows and the tokenizer; the template only where there are chats to render."""
    tokens: Tokens = resource.specification
    chats = any(resources[one].specification.type == "chat_template" for one in tokens.datasets)
    template = {"chat_template": (Source(tokens.model, "chat_template"),)} if chats else {}
    return {
        "datasets": tuple(Source(one) for one in tokens.datasets),
        "tokenizer": (Source(tokens.model, "tokenizer"),),
        **template,
    }


def probe(resource: Resource, surroundings: Surroundings) -> Probe:
    """Read a sample of the rows as the model will, unless state has tokens of exactly these rows already."""
    tokens: Tokens = resource.specification
    model = surroundings.resources[tokens.model]
    settings = settings_of(model.specification)
    folder = surroundings.folder / str(settings["tokenizer"] or settings["source"])
    if _made_before(resource, surroundings) or not has_tokenizer(folder) or not _can_read():
        return Probe()
    datasets = [surroundings.resources[one] for one in tokens.datasets]
    if any(Source(one.address) not in surroundings.known for one in datasets):
        return Probe()
    from executor.documents import Document
    from executor.tokenizing import formatter_of, template_for, too_long

    try:
        template = template_for(settings, folder, surroundings.folder, datasets)
        formatting = formatter_of(settings_of(tokens), folder, template)
    except ProblemError as error:
        return Probe(diagnostics=error.diagnostics)
    broken: list[BrokenRow] = []
    for dataset in datasets:
        files = named_files(dataset.specification.source, surroundings.folder)
        formatted = list(islice(formatting.documents(dataset.specification, files), SAMPLE_ROWS))
        broken += [one for one in formatted if isinstance(one, BrokenRow)]
        broken += too_long([one for one in formatted if isinstance(one, Document)], settings_of(tokens))
    return Probe(diagnostics=broken_rows(broken))


def _can_read() -> bool:
    return all(find_spec(library) is not None for library in LIBRARIES)


def _made_before(resource: Resource, surroundings: Surroundings) -> bool:
    record = surroundings.record(resource)
    if record is None or not record.output_digest or record.settings != settings_of(resource.specification):
        return False
    wanted = inputs(resource, surroundings.resources)
    digests = {name: [surroundings.known.get(source) for source in group] for name, group in wanted.items()}
    return digests == {name: [one.digest for one in group] for name, group in record.inputs.items()}


def build(task: Task, reporter: Reporter) -> Outcome:
    """Tokenize."""
    from executor.tokenizing import tokenize

    return tokenize(task, reporter)


KIND = Kind(
    name="tokens",
    specifications={},
    code=CODE,
    verb="re-tokenize",
    inputs=inputs,
    probe=probe,
    build=build,
)
