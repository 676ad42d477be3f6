"""Folders of weights: what identifies one, making a random one, and what travels along with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from executor.models.tensor_files import parameter_count, weight_files, weights_digest
from executor.tokens.tokenizer_files import CONFIG, FILES, TEMPLATE, special_tokens
from executor.workers.software import hardware, versions
from executor.workers.task import Outcome
from state.canonical import Plain, digest
from state.diagnostic import problem
from state.files import FileDigests, digest_file
from state.wording import stopped

CONFIGURATIONS = ("config.json", "generation_config.json", "adapter_config.json")
VOLATILE = frozenset(
    {
        "_name_or_path",
        "transformers_version",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "auto_mapping",
    }
)
"""Fields of configurations that name paths, versions or the moment, and say nothing of the model."""


def identity(folder: Path) -> str:
    """The digest of a model or adapter that we made: its tensors and its configuration, whatever the files' layout."""
    return digest({"weights": weights_digest(folder), "configurations": configurations(folder), **_code(folder)})


def source_identity(folder: Path, digests: FileDigests, *, with_code: bool) -> str:
    """The digest of a model that we were given: the bytes of its weight files, which are read only when they change.

    Code counts where it is trusted; elsewhere it is never run.
    """
    files = weight_files(folder)
    weights = dict(zip((path.name for path in files), digests.digests(files), strict=True))
    code = _code(folder) if with_code else {}
    return digest({"weights": weights, "configurations": configurations(folder), **code})


def _code(folder: Path) -> dict[str, Plain]:
    """The Python code that a model brings along, by file; nothing for most."""
    files: dict[str, Plain] = {path.name: digest_file(path) for path in sorted(folder.glob("*.py"))}
    return {"code": files} if files else {}


def configurations(folder: Path) -> dict[str, Plain]:
    """What the configurations of a folder say of its model, by file name."""
    return {name: _canonical(folder / name) for name in CONFIGURATIONS if (folder / name).is_file()}


def _canonical(path: Path) -> Plain:
    """A configuration without what is volatile; what are sets to PEFT, whose order follows the hash seed, sorted."""
    try:
        loaded = json.loads(path.read_bytes())
    except ValueError as error:
        raise problem("Damaged model", f"`{path}` is not JSON: {error}.") from None
    kept = {name: value for name, value in loaded.items() if name not in VOLATILE}
    if path.name != "adapter_config.json":
        return kept
    return {name: sorted(value) if _is_set(value) else value for name, value in kept.items()}


def _is_set(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def initialise(config: Mapping[str, Plain], seed: int, tokenizer: Path, template: str | None, output: Path) -> Outcome:
    """Write a model with random weights, in float32, that depend on the seed and the configuration alone."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    fields: dict[str, Any] = {name: value for name, value in config.items() if name != "model_type"}
    loaded = AutoTokenizer.from_pretrained(tokenizer)
    ids = {name: getattr(loaded, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    try:
        complete = AutoConfig.for_model(str(config["model_type"]), **{"vocab_size": len(loaded), **ids, **fields})
        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_config(complete, dtype=torch.float32)  # type: ignore[no-untyped-call]  # transformers
    except (ValueError, TypeError, KeyError) as error:
        hint = "The fields of `config` are those of the architecture's configuration class in transformers."
        raise problem("Invalid model configuration", f"transformers refuses it: {stopped(str(error))}", hint) from None
    if complete.vocab_size < len(loaded):
        detail = f"The tokenizer has {len(loaded)} tokens, but `config.vocab_size` is {complete.vocab_size}."
        raise problem("Invalid model configuration", detail, "Leave `vocab_size` out to follow the tokenizer.")
    model.save_pretrained(output)
    copy_tokenizer(tokenizer, template, output)
    facts = {"parameters": parameter_count(output)}
    return Outcome(identity(output), facts=facts, versions=versions(), hardware=hardware())


def copy_tokenizer(tokenizer: Path, template: str | None, output: Path) -> None:
    """Put a tokenizer into a model's folder, with the template that its resource says."""
    for name in FILES:
        if (tokenizer / name).is_file() and name != TEMPLATE:
            shutil.copyfile(tokenizer / name, output / name)
    if template is None:
        return
    (output / TEMPLATE).write_text(template, encoding="utf-8")
    config = json.loads((output / CONFIG).read_bytes()) if (output / CONFIG).is_file() else {}
    if config.pop("chat_template", None) is not None:
        (output / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def end_of_turn(folder: Path) -> str:
    """The token that ends a document or turn; a tokenizer without one cannot teach a model to stop."""
    token = special_tokens(folder)["eos_token"]
    if not token:
        detail = f"The tokenizer in `{folder}` names no eos_token."
        raise problem("No end token", detail, f"Set `eos_token` in its {CONFIG}: a model must learn to stop.")
    return token
