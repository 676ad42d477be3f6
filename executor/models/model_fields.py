"""What the fields of `[model.NAME]` mean together, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from executor.templates import built_in
from executor.tokens import vocabulary
from executor.tokens.vocabulary import changes_tokenizer
from planner.effects import Effect
from planner.kind import Resource, Resources
from state.canonical import Plain
from state.diagnostic import Diagnostic
from state.wording import suggestion

SCALINGS = ("linear", "dynamic", "yarn", "longrope", "llama3")
"""How transformers can have rotary positions reach further."""
WITHOUT_ROPE = ("bloom", "falcon_mamba", "gpt2", "gpt_bigcode", "mamba", "mamba2", "mpt", "opt", "rwkv", "xglm")
"""Types of models that tell positions otherwise, or not at all."""


def where_drawn(settings: Mapping[str, Plain], _: Mapping[str, Plain]) -> Effect:
    """Weights that come from somewhere do not follow the seed, but for rows that are added to them."""
    return Effect.REBUILD if settings["config"] or changes_tokenizer(settings) else Effect.METADATA


def is_made(settings: Mapping[str, Any]) -> bool:
    """Whether something has to be built, beyond what lies in the source."""
    return bool(settings["config"] or settings.get("rope_scaling") or changes_tokenizer(settings))


def check(resource: Resource, _: Resources) -> tuple[Diagnostic, ...]:
    """The fields must describe exactly one origin."""
    return tuple(
        Diagnostic("Contradicting fields", f"{'.'.join(filter(None, key))}: {detail}", hint, resource.place(key[1]))
        for key, detail, hint in (((resource.address, one[0]), *one[1:]) for one in _faults(resource.specification))
    )


def _faults(model: Any) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  a Model, which builds on this
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
    if model.config and model.rope_scaling:
        hint = "Write `rope_parameters` into `config` instead."
        yield "rope_scaling", "random weights have their positions in `config`.", hint
    if model.config and model.trust_remote_code:
        yield "trust_remote_code", "random weights bring no code.", "Remove `trust_remote_code`."
    yield from _scaling_faults(model.rope_scaling)
    yield from vocabulary.faults(model.tokens, model.special_tokens)
    if not is_template(model.chat_template):
        known = f"Known: {', '.join(built_in())}."
        detail = 'expected "tokenizer", the name of a built-in template, or a .jinja file.'
        yield "chat_template", detail, suggestion(model.chat_template, list(built_in())) or known


def _scaling_faults(scaling: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What is certainly wrong; tables by type of layer, which some architectures have, are left to transformers."""
    if not scaling or any(isinstance(one, Mapping) for one in scaling.values()):
        return
    if scaling.get("rope_type") not in SCALINGS:
        yield "rope_scaling", f"`rope_type` must be one of {', '.join(SCALINGS)}.", 'For instance rope_type = "yarn".'
    factor = scaling.get("factor", 0)
    if type(factor) not in (int, float) or factor < 1:
        yield "rope_scaling", "`factor` must be a number of at least 1.", "For instance factor = 4.0."


def is_template(name: str) -> bool:
    """Whether a recipe may name a template so."""
    return name == "tokenizer" or name.endswith(".jinja") or name in built_in()


def without_positions(resource: Resource, folder: Path) -> tuple[Diagnostic, ...]:
    """Scaling of what a known architecture does not have; of one that is not known, transformers is asked later."""
    from executor.models.model_configuration import configuration

    kind = configuration(folder).get("model_type")
    if not resource.specification.rope_scaling or kind not in WITHOUT_ROPE:
        return ()
    detail = f"{resource.address}: a model of the type {kind} has no rotary positions to scale."
    place = resource.place("rope_scaling")
    return (Diagnostic("Contradicting fields", detail, "Remove `rope_scaling`.", place),)
