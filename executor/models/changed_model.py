"""A model that a recipe changes before anything is trained: more tokens than it came with, or longer texts."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from executor.merging.lora_merge import MODEL_FILES
from executor.models.dropout_rates import fact
from executor.models.model_configuration import configuration
from executor.models.model_files import copy_tokenizer, identity
from executor.models.tensor_files import INDEX_FILE, parameter_count, weight_files
from executor.models.trust import TRUST, load
from executor.tokens.vocabulary import changes_tokenizer, extend, role_ids
from executor.workers.software import hardware, versions
from executor.workers.task import Outcome
from state.canonical import Plain
from state.diagnostic import problem
from state.wording import stopped

ROPE = ("rope_theta", "partial_rotary_factor")
"""What scaling leaves as it is, unless the recipe says it."""
GENERATION = "generation_config.json"
PAPERS = ("README.md", "LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "USE_POLICY*")
"""Under which terms a model may be used, which an export tells."""


def change(source: Path, settings: Mapping[str, Any], template: str | None, output: Path, scratch: Path) -> Outcome:
    """Write a model's folder as its settings change it; `scratch` is a folder for what is needed on the way.

    Rows of new tokens are drawn as transformers does it, close around the mean of all rows, and follow `seed`.
    Memory: the whole model, where its matrices grow; a file at a time else.
    """
    trusted = bool(settings[TRUST])
    config: Any = load("AutoConfig", source, trusted=trusted)
    if settings["rope_scaling"]:
        scale(config, settings["rope_scaling"])
    facts: dict[str, Plain] = {}
    with tempfile.TemporaryDirectory(dir=scratch, prefix="tokenizer-") as folder:
        tokenizer = source
        if changes_tokenizer(settings):
            tokenizer = Path(folder)
            added = extend(source, settings, tokenizer)
            facts["added_tokens"] = dict(added)
            _write_weights(source, config, max(added.values(), default=-1) + 1, settings, output)
            tell_roles(role_ids(tokenizer), output)
        else:
            _copy_weights(source, config, output)
        copy_tokenizer(tokenizer, template, output)
    facts |= {"parameters": parameter_count(output), **fact(configuration(output))}
    return Outcome(identity(output), facts=facts, versions=versions("torch"), hardware=hardware())


def scale(config: Any, scaling: Mapping[str, Plain]) -> None:  # noqa: ANN401  transformers has no types
    """Have rotary positions reach further; a problem for what the architecture does not have, or cannot read."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    text = config.get_text_config()
    before = getattr(text, "rope_parameters", None)
    if not before:
        detail = f"A model of the type {config.model_type} has no rotary positions to scale."
        raise problem("Invalid model configuration", detail, "Remove `rope_scaling`.")
    try:
        text.rope_parameters = {**{name: before[name] for name in ROPE if name in before}, **scaling}
        text.standardize_rope_params()
        text.validate_rope()
        # It warns of some mistakes only, which what computes the frequencies then trips over.
        for layer in text.nested_rope_parameter_keys(text.rope_parameters) or [None]:
            table = text.rope_parameters if layer is None else text.rope_parameters[layer]
            if table["rope_type"] != "default":
                ROPE_INIT_FUNCTIONS[table["rope_type"]](text, device="cpu", layer_type=layer)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        hint = "Its keys are those of `rope_parameters` in transformers: rope_type, factor and others."
        detail = f"transformers refuses this `rope_scaling`: {stopped(str(error.args[0] if error.args else error))}"
        raise problem("Invalid model configuration", detail, hint) from None


def _write_weights(source: Path, config: Any, size: int, settings: Mapping[str, Any], output: Path) -> None:  # noqa: ANN401  as above
    """The weights, with rows for all ids below `size`; a vocabulary that has them already stays as it is."""
    if size <= config.get_text_config().vocab_size:
        _copy_weights(source, config, output)
        return
    import torch

    model: Any = load("AutoModelForCausalLM", source, trusted=bool(settings[TRUST]), config=config, dtype="auto")
    torch.manual_seed(settings["seed"])
    model.resize_token_embeddings(size)
    model.save_pretrained(output)
    _copy(source, (*MODEL_FILES, *PAPERS), output)


def _copy_weights(source: Path, config: Any, output: Path) -> None:  # noqa: ANN401  as above
    for path in weight_files(source):
        shutil.copyfile(path, output / path.name)
    _copy(source, (INDEX_FILE, *MODEL_FILES, *PAPERS), output)
    config.save_pretrained(output)


def _copy(source: Path, patterns: tuple[str, ...], output: Path) -> None:
    for pattern in patterns:
        for path in source.glob(pattern):
            if not (output / path.name).exists():
                shutil.copyfile(path, output / path.name)


def tell_roles(ids: Mapping[str, Plain], folder: Path) -> None:
    """Have a model's configurations name the ids that roles are given to; answers still end at what ended them too."""
    for path in (folder / "config.json", folder / GENERATION):
        if path.is_file():
            before = json.loads(path.read_bytes())
            ends = {"eos_token_id": _ends(ids, before)} if path.name == GENERATION and "eos_token_id" in ids else {}
            path.write_text(json.dumps({**before, **ids, **ends}, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _ends(ids: Mapping[str, Plain], before: Mapping[str, Any]) -> Plain:
    named = before.get("eos_token_id")
    ends: list[Plain] = [ids["eos_token_id"], *(named if isinstance(named, list) else [named])]
    kept = list(dict.fromkeys(one for one in ends if one is not None))
    return kept if len(kept) > 1 else kept[0]
