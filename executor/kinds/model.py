"""`[model.NAME]`: the weights that training starts from: a folder, a hub repository at a commit, or random ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from attrs import Factory, evolve

from executor.applying.probe import Surroundings, assumed
from executor.models import hub
from executor.templates import built_in
from executor.tokens.tokenizer_files import has_tokenizer, own_template, tokenizer_digest
from planner.effects import Effect, setting
from planner.kind import Kind, Probe, Resource, Resources
from planner.limits import not_negative
from state.canonical import Plain, digest
from state.diagnostic import Diagnostic
from state.record import Record
from state.values import frozen
from state.wording import suggestion

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
    seed: int = setting(42, effect=Effect.REBUILD, why="the random weights follow it", validator=not_negative)
    tokenizer: str = setting("", effect=Effect.METADATA, why="the files decide, not where they lie")
    """For random weights: the folder of the tokenizer."""
    chat_template: str = setting("tokenizer", effect=Effect.METADATA, why="the template's text decides")
    """ "tokenizer" for the one that comes with it, a built-in one by name, or a .jinja file relative to the recipe."""
    description: str = setting("", effect=Effect.METADATA, why="it is a note")


def check(resource: Resource, _: Resources) -> tuple[Diagnostic, ...]:
    """The fields must describe exactly one origin."""
    return tuple(
        Diagnostic("Contradicting fields", f"{resource.address}: {detail}", hint, resource.place(path))
        for path, detail, hint in _faults(resource.specification)
    )


def _faults(model: Model) -> Iterator[tuple[str, str, str]]:
    origins = "Give `source` (a folder or hub id), or `config` and `tokenizer` for random weights."
    if bool(model.source) == bool(model.config):
        yield "", "exactly one of `source` and `config` is needed.", origins
    if model.config and not model.tokenizer:
        yield "config", "random weights need a `tokenizer` folder.", 'Write `tokenizer = "FOLDER"` beside it.'
    if model.config and not isinstance(model.config.get("model_type"), str):
        yield "config", "`config.model_type` is needed.", 'For instance `model_type = "llama"`.'
    if model.source and model.tokenizer:
        yield "tokenizer", "a `source` brings its own tokenizer.", "Remove `tokenizer`."
    if model.config and model.revision:
        yield "revision", "random weights have no revision.", "Remove `revision`."
    if not _is_template(model.chat_template):
        known = f"Known: {', '.join(built_in())}."
        detail = 'expected "tokenizer", the name of a built-in template, or a .jinja file.'
        yield "chat_template", detail, suggestion(model.chat_template, list(built_in())) or known


def _is_template(name: str) -> bool:
    return name == "tokenizer" or name.endswith(".jinja") or name in built_in()


def _assumed(resource: Resource, surroundings: Surroundings) -> Probe | None:
    """What state says of it where it cannot be read; no facts, which its files would not tell either."""
    found = assumed(resource, surroundings, builds=bool(resource.specification.config))
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
    known = {
        "tokenizer": tokenizer_digest(folder, surroundings.digests),
        "chat_template": digest(template if template is not None else own_template(folder)),
    }
    if model.config:
        # The artifact carries tokenizer and template, so they are part of what is built; the weights do not depend
        # on them, and what is trained on the weights sees only the weights' own digest.
        return Probe(content=known, known=known)
    from executor.models.model_files import source_identity

    weights = source_identity(folder, surroundings.digests)
    return Probe(content={"weights": weights, **known}, known={"": weights, **known}, builds=False)


def _template(resource: Resource, folder: Path) -> tuple[str | None, Diagnostic | None]:
    """The text of the template that the recipe names; None for the tokenizer's own."""
    name = resource.specification.chat_template
    if name == "tokenizer" or not _is_template(name):
        return None, None
    try:
        return _named_template(name, folder), None
    except (OSError, UnicodeDecodeError) as error:
        detail = f"{resource.address}.chat_template names `{name}`, which cannot be read: {error.__class__.__name__}."
        hint = "Paths are relative to the recipe's folder."
        return None, Diagnostic("Missing file", detail, hint, resource.place("chat_template"))


def _is_hub(model: Model, folder: Path) -> bool:
    return hub.is_id(model.source) and not (folder / model.source).is_dir()


def _probe_hub(resource: Resource, surroundings: Surroundings, template: str | None) -> Probe:
    model: Model = resource.specification
    record = surroundings.record(resource)
    commit = model.revision if _COMMIT.fullmatch(model.revision) else recorded_commit(model, record)
    if not commit:
        resolved = hub.resolve(model.source, model.revision or "main")
        if isinstance(resolved, Diagnostic):
            return Probe(diagnostics=(hub.at(resolved, resource.place("source")),))
        commit = resolved
    known = {
        "": digest({"hub": commit}),
        "tokenizer": digest({"hub": commit, "part": "tokenizer"}),
        "chat_template": digest(template if template is not None else {"hub": commit, "part": "chat_template"}),
    }
    return Probe(content={"commit": commit, "chat_template": known["chat_template"]}, known=known)


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
    """Download the repository, or make random weights."""
    from executor.models.model_files import initialise
    from executor.workers.task import Outcome

    if not task.settings["config"]:
        reporter.message(f"downloading {task.settings['source']}")
        hub.download(str(task.settings["source"]), task.content["commit"])
        return Outcome(digest({"hub": task.content["commit"]}), has_artifact=False)
    tokenizer = Path(task.recipe_folder) / str(task.settings["tokenizer"])
    template = template_text(task.settings, tokenizer, Path(task.recipe_folder))
    config = cast("Mapping[str, Plain]", task.settings["config"])
    return initialise(config, cast("int", task.settings["seed"]), tokenizer, template, task.output_folder)


def delivered(model: Input, recipe_folder: Path) -> tuple[Path, str | None]:
    """The tokenizer's folder and the template's text that belong to an input with whole weights.

    For a model the recipe says which template; what was trained or merged carries its own.
    """
    name = str(model.settings.get("tokenizer", ""))
    folder = recipe_folder / name if name else Path(model.folder)
    if "chat_template" not in model.settings:
        return folder, own_template(folder)
    return folder, template_text(model.settings, folder, recipe_folder)


def template_text(settings: Mapping[str, Plain], tokenizer: Path, recipe_folder: Path) -> str | None:
    """The chat template of a model resource, given the folder of its tokenizer; None if it has none."""
    name = str(settings["chat_template"])
    return own_template(tokenizer) if name == "tokenizer" else _named_template(name, recipe_folder)


def _named_template(name: str, folder: Path) -> str:
    if name in built_in():
        return built_in()[name].text
    return (folder / name).read_text(encoding="utf-8")


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
