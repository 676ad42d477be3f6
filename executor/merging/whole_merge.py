"""Merges that need the whole model in memory: by PEFT itself, for adapters that no product of two matrices describes.

The experts of a mixture are one parameter to PEFT (`target_parameters`) and many tensors in files; only the loaded
model knows which belong together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import xxhash

from executor.merging.lora_merge import MODEL_FILES, TOKENIZER_FILES, copy_files
from executor.models.peft_adapter import CONFIG_FILE
from executor.models.shards import AS_IT_IS

DEFAULT_SHARD_SIZE = "5GB"
"""What the hub's libraries write if nobody says anything."""


def needs_whole_model(adapter: Path) -> bool:
    """Whether an adapter changes parameters that are no module's own matrix."""
    return bool(json.loads((adapter / CONFIG_FILE).read_bytes()).get("target_parameters"))


def merge_whole(base: Path, adapter: Path, output: Path, dtype: str | None, max_shard_size: str = AS_IT_IS) -> int:
    """Write the plain folder of a base with an adapter merged into it by PEFT; returns how many tensors changed.

    Sums are made in the base's dtype and then cast. Memory: the model and its largest parameter twice.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype="auto", local_files_only=True)
    before = _digests(model)
    merged: Any = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    after = _digests(merged)
    merged = merged.to(getattr(torch, dtype)) if dtype else merged
    size = DEFAULT_SHARD_SIZE if max_shard_size == AS_IT_IS else max_shard_size
    merged.save_pretrained(output, max_shard_size=size)
    copy_files(base, (*MODEL_FILES, *TOKENIZER_FILES), output)
    return sum(before.get(name) != digest for name, digest in after.items())


def _digests(model: Any) -> dict[str, str]:  # noqa: ANN401  transformers has no types
    import torch

    return {
        name: xxhash.xxh3_128_hexdigest(one.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
        for name, one in model.named_parameters()
    }
