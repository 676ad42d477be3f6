"""`tokens.NAME`, derived: a view of datasets as one model sees it; ids, labels and boundaries, ready to train on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attrs import asdict

from executor import formats
from executor.applying.probe import Surroundings
from executor.sources.detection import may_be_chats, resolved
from executor.sources.origin import Origin, origin_of
from executor.templating.turn_ends import TrainOnEos
from executor.tokens.row_layout import LEARNT_FROM, RowLayout
from executor.tokens.tokenizer_files import has_tokenizer
from executor.tokens.vocabulary import extended
from planner.effects import Effect, reference, setting
from planner.kind import Kind, Probe, Resource, Resources, Source
from planner.structure import settings_of
from planner.written import Places
from state.canonical import Plain
from state.diagnostic import Place, ProblemError
from state.layout import Layout
from state.values import frozen

if TYPE_CHECKING:
    from executor.workers.task import Outcome, Task
    from executor.workers.worker_reports import Reporter

CODE = 4
LIBRARIES = ("tokenizers", "jinja2")
"""What reading rows as a model sees them takes; a machine that only plans may lack them."""
MOST_COMPARED = 200_000
"""Rows that a plan compares with those of before: a second's work."""


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
    layout: RowLayout = setting("documents", effect=Effect.REBUILD, why="rows are cut into other parts")


_FOLLOWS_FROM = {"split_seed": "seed", "prompts": "metrics", "layout": "method"}
"""Fields that nobody writes, and what decides them in the table that the tokens are for."""


def tokens_for(resource: Resource, address: str, tokens: Tokens) -> Resource:
    """The tokens that a resource brings along; their fields stand where it has them."""

    def places() -> dict[str, Place]:
        return {**resource.places, **{name: resource.place(source) for name, source in _FOLLOWS_FROM.items()}}

    return Resource(address, KIND, tokens, Places(places), resource.address)


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
    if made_before(resource, surroundings):
        return Probe()
    notes = _row_changes(resource, surroundings)
    tokenizer = readable_with(resource, surroundings)
    if tokenizer is None:
        return Probe(notes=notes)
    from executor.tokens.row_sample import sample

    try:
        return Probe(notes=notes, diagnostics=sample(resource, tokenizer, surroundings).diagnostics)
    except ProblemError as error:
        place = surroundings.resources[resource.specification.model].place("chat_template")
        return Probe(diagnostics=tuple(one.at(place) for one in error.diagnostics))


def readable_with(resource: Resource, surroundings: Surroundings) -> Path | None:
    """The folder of the tokenizer with which rows can be read here and now; None if they cannot."""
    model = settings_of(surroundings.resources[resource.specification.model].specification)
    folder = surroundings.folder / str(model["tokenizer"] or model["source"])
    libraries = all(find_spec(library) is not None for library in LIBRARIES)
    can_read = has_tokenizer(folder) and _template_is_readable(model, surroundings.folder)
    if not (libraries and can_read and _rows_are_here(resource, surroundings)):
        return None
    return extended(folder, model, Layout(surroundings.folder).tokenizers)


def _template_is_readable(model: Mapping[str, Plain], folder: Path) -> bool:
    """Whether there is the template that a model names; the model itself tells that there is none."""
    from executor.kinds.model import named_template

    name = str(model["chat_template"])
    with suppress(ProblemError):
        if name != "tokenizer":
            named_template(name, folder)
        return True
    return False


def _rows_are_here(resource: Resource, surroundings: Surroundings) -> bool:
    """Whether all rows can be read; those that are fetched are looked at when they have come."""
    datasets = [surroundings.resources[one] for one in resource.specification.datasets]
    wanted = LEARNT_FROM[resource.specification.layout]
    return all(
        origin_of(one.specification, surroundings.folder) is Origin.LOCAL
        and Source(one.address) in surroundings.known
        and bool(one.specification.type)
        and formats.yields(one.specification.type, wanted)
        for one in datasets
    )


def made_before(resource: Resource, surroundings: Surroundings) -> bool:
    """Whether state has tokens of exactly these rows."""
    record = surroundings.record(resource)
    if record is None or not record.output_digest or record.settings != settings_of(resource.specification):
        return False
    wanted = inputs(resource, surroundings.resources)
    digests = {name: [surroundings.known.get(source) for source in group] for name, group in wanted.items()}
    return digests == {name: [one.digest for one in group] for name, group in record.inputs.items()}


def _row_changes(resource: Resource, surroundings: Surroundings) -> dict[str, Plain]:
    """How the rows differ from those that the tokens on this machine were made of, if other ones are read now."""
    record = surroundings.record(resource)
    if record is None or not record.output_digest or not _rows_are_here(resource, surroundings):
        return {}
    before = [one.digest for one in record.inputs.get("datasets", ())]
    if before == [surroundings.known[Source(one)] for one in resource.specification.datasets]:
        return {}
    from executor.tokens.row_difference import count_digests, since

    folder = surroundings.folder
    artifact = Layout(folder).root / record.artifact
    if (count := count_digests(artifact)) > MOST_COMPARED:
        return {"rows": {"before": count}}
    datasets = [resolved(surroundings.resources[one].specification, folder) for one in resource.specification.datasets]
    found = since(artifact, [(one, folder) for one in datasets])
    return {} if found is None else {"rows": asdict(found)}


def build(task: Task, reporter: Reporter) -> Outcome:
    """Tokenize."""
    from executor.tokens.tokenizing import tokenize

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
