"""`tokens.NAME`, derived: a view of datasets as one model sees it; ids, labels and boundaries, ready to train on."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Literal

from attrs import frozen

from executor.kinds.dataset import broken_rows
from executor.probe import Surroundings
from executor.rows import BrokenRow
from executor.sources.detection import may_be_chats, resolved
from executor.sources.origin import Origin, origin_of, rows
from executor.task import Outcome, Task
from executor.tokenizer_files import has_tokenizer
from executor.turn_ends import TrainOnEos
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
    excess_length_strategy: Literal["error", "drop", "truncate", "split"] = setting(
        effect=Effect.REBUILD, why="long rows are treated differently"
    )
    roles_to_train: tuple[str, ...] = setting(effect=Effect.REBUILD, why="other tokens carry the loss")
    train_on_eos: TrainOnEos = setting("turn", effect=Effect.REBUILD, why="other tokens carry the loss")
    sample_packing: bool = setting(default=False, effect=Effect.REBUILD, why="rows are combined differently")
    val_set_size: float = setting(0.0, effect=Effect.REBUILD, why="other rows are held back")
    split_seed: int = setting(0, effect=Effect.REBUILD, why="other rows are held back")
    """0 where no rows are held back, so that a training seed does not re-tokenize for nothing."""
    prompts: bool = setting(default=False, effect=Effect.REBUILD, why="questions are kept for generation")


def inputs(resource: Resource, resources: Resources) -> Mapping[str, tuple[Source, ...]]:
    """The rows and the tokenizer; the template only where there are chats to render."""
    tokens: Tokens = resource.specification
    chats = any(may_be_chats(resources[one].specification) for one in tokens.datasets)
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
    if not all(_is_here(one, surroundings) for one in datasets):
        return Probe()
    try:
        broken = _broken(tokens, folder, surroundings)
    except ProblemError as error:
        return Probe(diagnostics=error.diagnostics)
    return Probe(diagnostics=broken_rows(broken))


def _broken(tokens: Tokens, tokenizer: Path, surroundings: Surroundings) -> list[BrokenRow]:
    """The broken rows among the first ones of each dataset; raises ProblemError where none can be read at all."""
    from executor.documents import Document
    from executor.length_limit import too_long
    from executor.tokenizing import formatter_of, template_for

    datasets = [surroundings.resources[one] for one in tokens.datasets]
    model = settings_of(surroundings.resources[tokens.model].specification)
    template = template_for(model, tokenizer, surroundings.folder, datasets)
    formatting = formatter_of(settings_of(tokens), tokenizer, template)
    broken: list[BrokenRow] = []
    for dataset in (resolved(one.specification, surroundings.folder) for one in datasets):
        first = list(islice(formatting.documents(dataset, rows(dataset, surroundings.folder)), SAMPLE_ROWS))
        if dataset.on_bad_row == "error":
            broken += [one for one in first if isinstance(one, BrokenRow)]
        lengths = ((one.place, len(one.encoded.ids)) for one in first if isinstance(one, Document))
        broken += too_long(lengths, tokens.sequence_len, tokens.excess_length_strategy)
    return broken


def _is_here(dataset: Resource, surroundings: Surroundings) -> bool:
    """Whether a dataset's rows can be read; those that are fetched are looked at when they have come."""
    local = origin_of(dataset.specification, surroundings.folder) is Origin.LOCAL
    return local and Source(dataset.address) in surroundings.known


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
