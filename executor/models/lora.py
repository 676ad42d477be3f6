"""Adapters: the recipe's table as PEFT's configuration, where they start, and what is written of them in the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

from executor.models.adapter_fields import CONVERTED

FILE = "adapter_model.safetensors"
LISTS = ("exclude_modules", "target_parameters", "modules_to_save", "layers_to_transform")
AS_THEY_ARE = ("r", "lora_alpha", "lora_dropout", "use_rslora", "lora_bias", "rank_pattern", "alpha_pattern")
FUSED = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
FUSED_MODULES = ("out_proj", "conv1d")
"""Matrices that Mamba's kernels read themselves, past any adapter: PEFT refuses these models with them."""
ADAPTER = "default"
"""PEFT's name for the only adapter of a model."""
PLAIN_START = ("default", "loftq")


def adapter_configuration(
    adapter: Mapping[str, Any] | None, task: str, model_type: str, rows: Mapping[str, list[int]] | None
) -> Any:  # noqa: ANN401  PEFT has no types
    """PEFT's LoraConfig for a `[train.NAME.adapter]` table; None where all weights are trained.

    `rows` are the ids of tokens by the module of which only their rows are trained.
    """
    if adapter is None:
        return None
    from peft import LoraConfig

    target, start = adapter["target_modules"], adapter["init_lora_weights"]
    # Copies: PEFT puts patterns of its own into those of some models.
    fields: dict[str, Any] = {name: copy(adapter[name]) for name in AS_THEY_ARE}
    fields |= {name: list(adapter[name]) or None for name in LISTS}
    if target == "all-linear" and model_type in FUSED:
        fields["exclude_modules"] = [*adapter["exclude_modules"], *FUSED_MODULES]
    return LoraConfig(
        task_type=task,
        target_modules=target if isinstance(target, str) else list(target),
        trainable_token_indices=None if rows is None else dict(rows),
        use_dora=adapter["type"] == "dora",
        init_lora_weights=True if start in PLAIN_START else start,
        **fields,
    )


def all_linear(model: Any) -> list[str]:  # noqa: ANN401  PEFT has no types
    """The names that mean exactly what "all-linear" means for the base of an adapter; none if only longer ones do."""
    from peft import LoraConfig
    from peft.tuners.tuners_utils import _maybe_include_all_linear_layers
    from peft.utils.constants import SEQ_CLS_HEAD_NAMES

    base, task = model.get_base_model(), model.peft_config[ADAPTER].task_type
    meant: Any = _maybe_include_all_linear_layers(LoraConfig(task_type=task, target_modules="all-linear"), base)
    output = base.get_output_embeddings()
    heads = [name for name, module in base.named_modules() if output is not None and module is output]
    heads += SEQ_CLS_HEAD_NAMES if task == "SEQ_CLS" else []
    # A head that is trained whole lies in a wrapper, where it is no longer recognised as what it is.
    found = {name for name in meant.target_modules if not name.startswith(tuple(f"{one}." for one in heads))}
    if base.config.model_type in FUSED:
        found = {name for name in found if last_name(name) not in FUSED_MODULES}
    names = {last_name(name) for name in found}
    others = {last_name(name) for name, _ in base.named_modules() if name not in found}
    return [] if names & others else sorted(names)


def last_name(name: str) -> str:
    """A module's name without those of the modules around it."""
    return name.rpartition(".")[2]


def goes_by(module: str, name: str) -> bool:
    """Whether a module is one that an adapter's table means by a name: the end of its own, as PEFT reads it."""
    return module == name or module.endswith(f".{name}")


def keep_adapters_exact(model: Any) -> None:  # noqa: ANN401  transformers has no types
    """Train in float32 whatever the base holds: what a resume loads is float32 too, and must be the same numbers.

    It lies row by row in memory, too: what lies otherwise, as some beginnings do, is summed in another order.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float().contiguous()


def is_converted(adapter: Mapping[str, Any] | None) -> bool:
    """Whether an adapter starts with a part of the base, which is given back when it is finished."""
    return adapter is not None and CONVERTED.fullmatch(adapter["init_lora_weights"]) is not None


def matrices(model: Any) -> dict[str, Any]:  # noqa: ANN401  PEFT has no types
    """A copy of an adapter as it stands, under the names that its file has."""
    from peft import get_peft_model_state_dict

    return {name: tensor.detach().cpu().clone() for name, tensor in get_peft_model_state_dict(model).items()}


def convert(folder: Path, start: Mapping[str, Any]) -> None:
    """Rewrite a finished adapter, and its configuration, as a plain one for the base that it took its start from.

    With W = W' + s B0 A0 at the start and W' + s B A in the end, the change of W is s (B A - B0 A0), which is one
    product of twice the rank: s [B, -B0] [A; A0] (PiSSA, https://arxiv.org/abs/2404.02948, appendix C).
    """
    import torch
    from safetensors.torch import load_file, save_file

    made = load_file(folder / FILE)
    for name, first in start.items():
        if "lora_A" in name:
            made[name] = torch.cat([made[name], first.to(made[name].dtype)])
        elif "lora_B" in name:
            made[name] = torch.cat([made[name], -first.to(made[name].dtype)], dim=1)
    save_file(made, folder / FILE, metadata={"format": "pt"})
    path = folder / "adapter_config.json"
    config = json.loads(path.read_bytes())
    # Alpha over the root of the rank must stay what it was, or over the rank itself.
    scale = 2**0.5 if config["use_rslora"] else 2
    config |= {"init_lora_weights": True, "r": config["r"] * 2, "lora_alpha": config["lora_alpha"] * scale}
    config["rank_pattern"] = {name: rank * 2 for name, rank in config["rank_pattern"].items()}
    config["alpha_pattern"] = {name: alpha * scale for name, alpha in config["alpha_pattern"].items()}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
