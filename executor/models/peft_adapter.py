"""What a PEFT LoRA adapter does to each tensor of its base, read from its configuration and its header alone.

Key names and the meaning of every setting are those of PEFT 0.21 (peft.tuners.lora, peft.utils.save_and_load).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field

from executor.models.tensor_files import TensorEntry, read_header, tensor_digest, weight_files
from state.diagnostic import ProblemError, problem
from state.values import frozen
from state.wording import stopped

CONFIG_FILE = "adapter_config.json"
PREFIX = "base_model.model."

PARTS = {
    ".lora_A.weight": ("weight", "down"),
    ".lora_B.weight": ("weight", "up"),
    ".lora_B.bias": ("bias", "shift"),
    ".lora_embedding_A": ("weight", "down"),
    ".lora_embedding_B": ("weight", "up"),
    ".lora_magnitude_vector": ("weight", "magnitude"),
    ".token_adapter.trainable_tokens_delta": ("weight", "rows"),
}
"""End of an adapter's key -> which tensor of the module it changes, and how."""

WRAPPERS = {
    ".modules_to_save.": "trained",
    ".original_module.": "original",
    ".token_adapter.base_layer.": "original",
    ".base_layer.": "original",
}
"""Middle of a key that holds a whole tensor -> what that tensor is."""

UNSUPPORTED = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "megatron_config",
    "monteclora_config",
    "target_parameters",
    "use_bdlora",
    "use_qalora",
    "velora_config",
)
"""Settings under which the adapter is not, or not only, a product of two factors added to each matrix."""

CHANGES_BASE = re.compile(r"pissa.*|olora|corda|loftq|lora_ga")
"""Initialisations that also subtract from the base: without that changed base the adapter means something else."""


@frozen
class Change:
    """What happens to one tensor; every string is a key of the adapter's file, or empty."""

    original: str = ""
    """The whole tensor as it was before training, where that is not the base's (a grown vocabulary)."""
    trained: str = ""
    """The whole tensor after training."""
    down: str = ""
    """LoRA's A, shape (rank, input)."""
    up: str = ""
    """LoRA's B, shape (output, rank)."""
    magnitude: str = ""
    """DoRA's vector, shape (output,)."""
    shift: str = ""
    """What is added to a bias, shape (output,)."""
    rows: str = ""
    """New values for some rows, shape (rows, width)."""
    indices: tuple[int, ...] = ()
    """Which rows, in the order of `rows`."""
    scaling: float = 1.0
    """Factor on the product B @ A and on `shift`."""
    transposed: bool = False
    """Whether the base stores the matrix as (input, output), as embeddings and GPT-2's Conv1D do."""

    @property
    def whole(self) -> str:
        """The key of the tensor that stands in for the base's, if any."""
        return self.trained or self.original


@frozen
class Adapter:
    """An adapter on disk: its file, that file's tensors by key, and its changes by tensor of the base."""

    path: Path
    tensors: dict[str, TensorEntry]
    changes: dict[str, Change]

    def same_result(self, one: Change, other: Change) -> bool:
        """Whether two changes surely leave the same tensor if they start from the same one; reads bytes, keeps none."""
        if one.down or other.down:
            return False
        keys = ((one.whole, other.whole), (one.rows, other.rows))
        return one.indices == other.indices and all(self._digest(left) == self._digest(right) for left, right in keys)

    def _digest(self, key: str) -> str:
        return tensor_digest(self.path, self.tensors[key]) if key else ""


@frozen
class _Settings:
    """The part of adapter_config.json that matters after training."""

    values: Mapping[str, Any] = field(repr=False)

    def scaling(self, module: str, rank: int) -> float:
        """Alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA; the first alpha_pattern that fits wins."""
        alpha = self.values["lora_alpha"]
        for pattern, one in (self.values.get("alpha_pattern") or {}).items():
            if re.match(rf"(.*\.)?({pattern})$", module):
                alpha = one
                break
        return float(alpha / math.sqrt(rank) if self.values.get("use_rslora") else alpha / rank)

    def indices(self, module: str) -> tuple[int, ...]:
        """The rows of a module's weight that were trained one by one; the same ones for a module tied to another."""
        named = self.values.get("trainable_token_indices")
        if isinstance(named, dict):
            own = [rows for name, rows in named.items() if module.endswith(name)]
            named = own[0] if own else next(iter(named.values()), None)
        if not named:
            raise _damaged(f"Its configuration does not say which rows of {module} were trained")
        return tuple(named)


def read_adapter(folder: Path, base: Mapping[str, TensorEntry], *, conv1d: bool) -> Adapter:
    """Read an adapter for a base with the given tensors; a problem for what cannot be merged into plain weights.

    `conv1d` says that the base stores its matrices as (input, output), like GPT-2. A changed tensor that the base lacks
    keeps its own name in `changes`: only the caller knows whether it is tied.
    """
    settings = _read_settings(folder / CONFIG_FILE)
    (path, *_) = weight_files(folder)
    tensors = read_header(path)
    parts: dict[str, dict[str, str]] = {}
    for key in tensors:
        name, role = _parse(key)
        parts.setdefault(name, {}).setdefault(role, key)
    changes = {}
    for name, roles in parts.items():
        target = name if name in base else _without_model_prefix(name, base)
        changes[target] = _change(name, roles, settings, tensors)
        if conv1d and target in base:
            changes[target] = _as_stored(changes[target], base[target], tensors)
    return Adapter(path, tensors, changes)


def _read_settings(path: Path) -> _Settings:
    try:
        values = json.loads(path.read_bytes())
        kind = values["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise problem("Damaged adapter", f"{path} cannot be read: {stopped(str(error))}") from error
    found = [name for name in UNSUPPORTED if values.get(name)]
    if kind != "LORA":
        found = [f"peft_type = {kind}"]
    initial = values.get("init_lora_weights")
    if isinstance(initial, str) and CHANGES_BASE.fullmatch(initial):
        found.append(f"init_lora_weights = {initial}")
    if found:
        hint = "Use this adapter with PEFT, next to its base."
        raise problem("Adapter cannot be merged", f"{path} uses {', '.join(found)}.", hint)
    return _Settings(values)


def _parse(key: str) -> tuple[str, str]:
    """The name of the tensor that a key changes, as the model calls it, and the field of Change that the key fills."""
    name = key.removeprefix(PREFIX)
    for end, (leaf, role) in PARTS.items():
        if name.removesuffix(".weight").endswith(end) or name.endswith(end):
            return name[: name.rindex(end)] + "." + leaf, role
    for middle, role in WRAPPERS.items():
        if middle in name:
            return name.replace(middle, "."), role
    return name, "trained"


def _change(name: str, roles: dict[str, str], settings: _Settings, tensors: Mapping[str, TensorEntry]) -> Change:
    module = name.rpartition(".")[0]
    change = Change(**roles)  # type: ignore[arg-type]
    if bool(change.down) != bool(change.up) or (change.magnitude and not change.down):
        raise _damaged(f"Only a part of the factors of {name} is there")
    if change.down:
        rank = tensors[change.down].shape[0]
        transposed = change.down.endswith(".lora_embedding_A")
        change = evolve(change, scaling=settings.scaling(module, rank), transposed=transposed)
    if change.shift:
        rank = tensors[_down_key(change.shift)].shape[0]
        change = evolve(change, scaling=settings.scaling(module, rank))
    if change.rows:
        change = evolve(change, indices=settings.indices(module))
    return change


def _down_key(shift: str) -> str:
    return shift.removesuffix(".lora_B.bias") + ".lora_A.weight"


def _as_stored(change: Change, entry: TensorEntry, tensors: Mapping[str, TensorEntry]) -> Change:
    """Beside Conv1D there can be a Linear, stored as (output, input); fan_in_fan_out does not tell which is which."""
    if not change.down or change.transposed:
        return change
    stored = (tensors[change.down].shape[1], tensors[change.up].shape[0])
    return evolve(change, transposed=entry.shape == stored)


def _without_model_prefix(name: str, base: Mapping[str, TensorEntry]) -> str:
    """Checkpoints of a bare backbone (GPT-2's on the Hub) lack the first part of every name."""
    short = name.partition(".")[2]
    return short if short in base else name


def _damaged(detail: str) -> ProblemError:
    return problem("Damaged adapter", stopped(detail), "Build or fetch this adapter again.")
