"""`[model.NAME]`: the weights that training starts from: a folder, a hub repository at a commit, or random ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from attrs import Factory, evolve

from executor.applying.probe import Surroundings, assumed
from executor.models import hub
from executor.models.dropout_rates import fact
from executor.models.model_configuration import configuration
from executor.models.model_fields import check, is_made, is_template, where_drawn, without_positions
from executor.templates import built_in
from executor.tokens.tokenizer_files import has_tokenizer, own_template, tokenizer_digest
from executor.tokens.vocabulary import changed_identity, changes_tokenizer
from planner.effects import Effect, setting
from planner.kind import Kind, Probe, Resource
from planner.limits import not_negative, tags
from planner.structure import settings_of
from state.canonical import Plain, digest
from state.diagnostic import Diagnostic, ProblemError, problem
from state.record import Record
from state.values import frozen

if TYPE_CHECKING:
    from executor.workers.task import Input, Outcome, Task
    from executor.workers.worker_reports import Reporter

CODE = 1
_COMMIT = re.compile(r"[0-9a-f]{40}")


@frozen
class Model:
    """The fields of a model."""

    source: str = setting("", effect=Effect.METADATA, why="the files decide, not where they lie")
    """A folder relative to the recipe, or a hub id."""
    revision: str = setting("", effect=Effect.METADATA, why="the commit that it leads to decides")
    """For a hub id: a commit, or a branch or tag, which is resolved once and then stays."""
    config: dict[str, Plain] = setting(Factory(dict), effect=Effect.REBUILD, why="the architecture is another")
    """For random weights: `model_type` and the fields of that architecture's configuration."""
    seed: int = setting(42, effect=where_drawn, why="the random weights follow it", validator=not_negative)
    """For random weights, and for the rows of added tokens."""
    tokenizer: str = setting("", effect=Effect.METADATA, why="the files decide, not where they lie")
    """For random weights: the folder of the tokenizer."""
    chat_template: str = setting("tokenizer", effect=Effect.METADATA, why="the template's text decides")
    """ "tokenizer" for the one that comes with it, a built-in one by name, or a .jinja file relative to the recipe."""
    tokens: tuple[str, ...] = setting((), effect=Effect.REBUILD, why="the vocabulary is another")
    """Texts that become one token each, added to the vocabulary; the embedding grows with it."""
    special_tokens: dict[str, Plain] = setting(Factory(dict), effect=Effect.REBUILD, why="the vocabulary is another")
    """Control tokens by role: bos_token, eos_token, pad_token, unk_token, and a list of `additional_special_tokens`.
    What the vocabulary lacks is added to it."""
    rope_scaling: dict[str, Plain] = setting(Factory(dict), effect=Effect.REBUILD, why="positions are told differently")
    """How rotary positions reach further than those that the model was made for: `rope_type`, `factor` and what else
    transformers' `rope_parameters` has. For random weights, `config` has them."""
    trust_remote_code: bool = setting(default=False, effect=Effect.REBUILD, why="other code computes")
    """Whether Python code that comes with the model is run: that of a folder, whose content then counts, or of a hub's
    commit."""
    description: str = setting("", effect=Effect.METADATA, why="it is a note")
    tags: tuple[str, ...] = setting((), effect=Effect.METADATA, why="they are notes", validator=tags)
    """What to find it by, with `tune state list --tag`; a model's card and a bill of materials have them, too."""


def _assumed(resource: Resource, surroundings: Surroundings) -> Probe | None:
    """What state says of it where it cannot be read; no facts, which its files would not tell either."""
    found = assumed(resource, surroundings, builds=is_made(settings_of(resource.specification)))
    return evolve(found, facts={}) if found is not None else None


def probe(resource: Resource, surroundings: Surroundings) -> Probe:
    """What the files say; the hub is asked only for a revision that state has not resolved yet."""
    model: Model = resource.specification
    template, fault = _template(resource, surroundings.folder)
    if fault is not None:
        return _assumed(resource, surroundings) or Probe(diagnostics=(fault,))
    if not model.config and _is_hub(model, surroundings.folder):
        return _probe_hub(resource, surroundings, template)
    name = "tokenizer" if model.config else "source"
    folder = surroundings.folder / (model.tokenizer or model.source)
    if not has_tokenizer(folder):
        detail = f"{resource.address}.{name} names `{model.tokenizer or model.source}`, which holds no tokenizer."
        hint = "Paths are relative to the recipe's folder; a hub id has the form `organisation/name`."
        missing = Probe(diagnostics=(Diagnostic("Missing file", detail, hint, resource.place(name)),))
        return _assumed(resource, surroundings) or missing
    content = {
        "tokenizer": tokenizer_digest(folder, surroundings.digests),
        "chat_template": digest(template if template is not None else own_template(folder)),
    }
    known = {**content, "tokenizer": changed_identity(content["tokenizer"], settings_of(model))}
    if model.config:
        # The artifact carries tokenizer and template, so they are part of what is built; the weights do not depend
        # on them, and what is trained on the weights sees only the weights' own digest.
        return Probe(content=content, known=known)
    from executor.models.model_files import source_identity

    weights = source_identity(folder, surroundings.digests, with_code=model.trust_remote_code)
    if is_made(settings_of(model)):
        diagnostics = without_positions(resource, folder)
        return Probe(content={"weights": weights, **content}, known=known, diagnostics=diagnostics)
    facts = fact(configuration(folder))
    return Probe(content={"weights": weights, **content}, known={"": weights, **known}, facts=facts, builds=False)


def _template(resource: Resource, folder: Path) -> tuple[str | None, Diagnostic | None]:
    """The text of the template that the recipe names; None for the tokenizer's own."""
    name = resource.specification.chat_template
    if name == "tokenizer" or not is_template(name):
        return None, None
    try:
        return named_template(name, folder), None
    except ProblemError as error:
        (found,) = error.diagnostics
        return None, evolve(found, place=resource.place("chat_template"))


def _is_hub(model: Model, folder: Path) -> bool:
    return hub.is_id(model.source) and not (folder / model.source).is_dir()


def _probe_hub(resource: Resource, surroundings: Surroundings, template: str | None) -> Probe:
    model: Model = resource.specification
    if model.trust_remote_code and not _COMMIT.fullmatch(model.revision):
        detail = f"{resource.address} trusts code of `{model.source}`, which may be other code tomorrow."
        hint = "Read it as it is at one commit, and set `revision` to that."
        return Probe(diagnostics=(Diagnostic("Unpinned code", detail, hint, resource.place("trust_remote_code")),))
    record = surroundings.record(resource)
    commit = model.revision if _COMMIT.fullmatch(model.revision) else recorded_commit(model, record)
    if not commit:
        resolved = hub.resolve(model.source, model.revision or "main")
        if isinstance(resolved, Diagnostic):
            return Probe(diagnostics=(resolved.at(resource.place("source")),))
        commit = resolved
    known = {
        "tokenizer": changed_identity(digest({"hub": commit, "part": "tokenizer"}), settings_of(model)),
        "chat_template": digest(template if template is not None else {"hub": commit, "part": "chat_template"}),
    }
    whole = {} if is_made(settings_of(model)) else {"": digest({"hub": commit})}
    return Probe(content={"commit": commit, "chat_template": known["chat_template"]}, known={**whole, **known})


def recorded_commit(model: Model, record: Record | None) -> str:
    """What the same branch or tag was resolved to before; a plan must not move by itself."""
    if record is None or (record.settings.get("source"), record.settings.get("revision")) != (
        model.source,
        model.revision,
    ):
        return ""
    return record.content.get("commit", "")


def locate(record: Record, recipe_folder: Path) -> Path:
    """Where a model without an artifact of ours lies."""
    source = str(record.settings["source"])
    commit = record.content.get("commit")
    return hub.snapshot(source, commit) if commit else recipe_folder / source


def build(task: Task, reporter: Reporter) -> Outcome:
    """Download the repository, change what came, or make random weights."""
    from executor.workers.task import Outcome

    settings, commit = task.settings, task.content.get("commit")
    if commit:
        reporter.message(f"downloading {settings['source']}")
        drops = fact(configuration(hub.download(str(settings["source"]), commit)))
        if not is_made(settings):
            return Outcome(digest({"hub": commit}), facts=drops, has_artifact=False)
    folder = Path(task.recipe_folder)
    if settings["config"]:
        return _initialise(task)
    from executor.models.changed_model import change

    source = hub.snapshot(str(settings["source"]), commit) if commit else folder / str(settings["source"])
    template = template_text(settings, source, folder)
    return change(source, settings, template, task.output_folder, Path(task.tune_folder))


def _initialise(task: Task) -> Outcome:
    import tempfile

    from executor.models.model_files import initialise
    from executor.tokens.vocabulary import extend

    named = Path(task.recipe_folder) / str(task.settings["tokenizer"])
    template = template_text(task.settings, named, Path(task.recipe_folder))
    config, seed = cast("Mapping[str, Plain]", task.settings["config"]), cast("int", task.settings["seed"])
    with tempfile.TemporaryDirectory(dir=task.tune_folder, prefix="tokenizer-") as scratch:
        if not changes_tokenizer(task.settings):
            return initialise(config, seed, named, template, task.output_folder)
        added = extend(named, task.settings, Path(scratch))
        made = initialise(config, seed, Path(scratch), template, task.output_folder)
        return evolve(made, facts={**made.facts, "added_tokens": dict(added)})


def delivered(model: Input, recipe_folder: Path) -> tuple[Path, str | None]:
    """The tokenizer's folder and the template's text that belong to an input with whole weights.

    For a model the recipe says which template; what was trained or merged carries its own.
    """
    name = str(model.settings.get("tokenizer", ""))
    folder = recipe_folder / name if name and not changes_tokenizer(model.settings) else Path(model.folder)
    if "chat_template" not in model.settings:
        return folder, own_template(folder)
    return folder, template_text(model.settings, folder, recipe_folder)


def template_text(settings: Mapping[str, Plain], tokenizer: Path, recipe_folder: Path) -> str | None:
    """The chat template of a model resource, given the folder of its tokenizer; None if it has none."""
    name = str(settings["chat_template"])
    return own_template(tokenizer) if name == "tokenizer" else named_template(name, recipe_folder)


def named_template(name: str, folder: Path) -> str:
    """The text of a template that is built in or lies in a file; raises ProblemError if that cannot be read."""
    if name in built_in():
        return built_in()[name].text
    try:
        return (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        detail = f"`chat_template` names `{name}`, which cannot be read: {why}."
        raise problem("Missing file", detail, "Paths are relative to the recipe's folder.") from None


KIND = Kind(
    name="model",
    specifications={"": Model},
    code=CODE,
    verb="rebuild",
    inputs=lambda *_: {},
    check=check,
    probe=probe,
    locate=locate,
    build=build,
)
