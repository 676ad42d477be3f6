"""Several adapters of one base become one adapter, as PEFT's `add_weighted_adapter` makes it.

Only low-rank factors are combined; what replaces whole tensors, and what is scaled by its length, has no weighted sum.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.merging.combination import ELECTING, PRUNING, Combination
from executor.models.peft_adapter import PREFIX, Adapter, Change, read_adapter
from state.canonical import digest
from state.diagnostic import problem
from state.values import frozen

if TYPE_CHECKING:
    from torch import Tensor


def combine(adapters: Mapping[str, Path], combination: Combination, output: Path) -> None:
    """Write the adapter that the adapters in these folders, by address, combine to.

    Raises a problem where they have other parts than low-rank factors, or ranks that do not go together.
    """
    import torch
    from safetensors.torch import save_file

    read = {address: _read(address, folder) for address, folder in adapters.items()}
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for name in sorted({name for one in read.values() for name in one.changes}):
        parts = list(_parts(name, read, combination.weights))
        torch.manual_seed(int(digest([combination.seed, name])[:15], 16))
        down, up = _combined(name, parts, combination)
        key = parts[0].key
        tensors[f"{PREFIX}{key}A{parts[0].end}"], tensors[f"{PREFIX}{key}B{parts[0].end}"] = down, up
        ranks[name.rpartition(".")[0]] = down.shape[0]
        tensors |= _originals(name, read)
    save_file(tensors, output / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "r": max(ranks.values()),
        "lora_alpha": max(ranks.values()),
        "alpha_pattern": {re.escape(module): rank for module, rank in ranks.items()},
        "target_modules": sorted(ranks),
    }
    (output / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


PLAIN = ("original", "transposed", "down", "up", "scaling")
"""What a change may consist of to be combined; PEFT saves the original of an embedding beside its factors."""


@frozen
class _Part:
    """One adapter's factors for one tensor, in float32 as PEFT loads them, with the weight times the scaling."""

    key: str
    """The middle of the names of both, `….lora_`."""
    end: str
    down: Tensor
    up: Tensor
    weight: float
    scaling: float


def _read(address: str, folder: Path) -> Adapter:
    adapter = read_adapter(folder, {}, conv1d=False)
    for name, change in adapter.changes.items():
        plain = Change(**{field: getattr(change, field) for field in PLAIN})
        if change != plain or bool(change.original) > bool(change.down):
            detail = f"{address} does more to {name} than adding a product of low rank."
            raise problem(
                "Adapters cannot be combined",
                detail,
                "Merge it alone, or train it without DoRA, `modules_to_save`, biases and trainable tokens.",
            )
    return adapter


def _parts(name: str, read: Mapping[str, Adapter], weights: Sequence[float]) -> Iterator[_Part]:
    from safetensors import safe_open

    for adapter, weight in zip(read.values(), weights, strict=True):
        change = adapter.changes.get(name)
        if change is None:
            continue
        with safe_open(adapter.path, framework="pt") as file:
            down, up = (_exact(file.get_tensor(key)) for key in (change.down, change.up))
        key, _, end = change.down.removeprefix(PREFIX).rpartition("A")
        yield _Part(key, end, down, up, weight, change.scaling)


def _originals(name: str, read: Mapping[str, Adapter]) -> dict[str, Tensor]:
    """The tensor as it was before training, where adapters hold it; it must be the same in all."""
    from safetensors import safe_open

    found: dict[str, Tensor] = {}
    for address, adapter in read.items():
        key = adapter.changes[name].original if name in adapter.changes else ""
        if key:
            with safe_open(adapter.path, framework="pt") as file:
                tensor = file.get_tensor(key)
            if not all(one.equal(tensor) for one in found.values()):
                detail = f"{address} was trained on another {name} than the others."
                raise problem("Adapters cannot be combined", detail, "Combine adapters of the same base.")
            found = {key: tensor}
    return found


def _exact(tensor: Tensor) -> Tensor:
    import torch

    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _combined(name: str, parts: Sequence[_Part], combination: Combination) -> tuple[Tensor, Tensor]:
    import torch

    if combination.combination_type == "cat":
        down = torch.cat([one.down * one.weight * one.scaling for one in parts], dim=0)
        return down, torch.cat([one.up for one in parts], dim=1)
    shapes = {(tuple(one.down.shape), tuple(one.up.shape)) for one in parts}
    if len(shapes) > 1:
        ranks = " and ".join(str(one.down.shape[0]) for one in parts)
        detail = f"{name} has the ranks {ranks}, and {combination.combination_type} needs equal ones."
        raise problem("Adapters cannot be combined", detail, 'Use combination_type = "cat".')
    roots = [math.sqrt(abs(one.weight * one.scaling)) for one in parts]
    signed = [math.copysign(root, one.weight * one.scaling) for root, one in zip(roots, parts, strict=True)]
    down = _arithmetic([one.down for one in parts], torch.tensor(signed), combination)
    return down, _arithmetic([one.up for one in parts], torch.tensor(roots), combination)


def _arithmetic(tensors: list[Tensor], weights: Tensor, combination: Combination) -> Tensor:
    from peft.utils import merge_utils

    name = combination.combination_type
    arguments: dict[str, Any] = {}
    if name in PRUNING:
        arguments["density"] = combination.density
    if name in ELECTING:
        arguments["majority_sign_method"] = combination.majority_sign_method
    function: Any = merge_utils.task_arithmetic if name == "linear" else getattr(merge_utils, name)
    found: Tensor = function(tensors, weights, **arguments).to(tensors[0].dtype)
    return found.contiguous()
