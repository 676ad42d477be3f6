"""The base of an adapter that was trained beside weights in few bits, as it was then: rounded, and widened again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from executor.merging.lora_merge import MODEL_FILES, TOKENIZER_FILES, copy_files
from state.canonical import Plain

BITS = ("load_in_4bit", "load_in_8bit")
"""Settings of a training, either of which says that its base was held in few bits."""
FOUR_BITS = "bnb_4bit_"
"""How the settings begin that say how four bits are used."""


def dequantized(base: Path, trained: Mapping[str, Plain], output: Path) -> Path:
    """Write a base's weights as bitsandbytes rounded them for the settings of a training; returns their folder.

    transformers decides which matrices are rounded, as it did for the training. Memory: the model, in the dtype that
    sums were made in.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four = [name for name in trained if name.startswith(FOUR_BITS)] if trained["load_in_4bit"] else []
    settings: dict[str, Any] = {name: trained[name] for name in (*BITS, *four)}
    dtype = "float16" if trained["fp16"] else "bfloat16" if trained["bf16"] else "float32"
    model: Any = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=getattr(torch, dtype),
        quantization_config=BitsAndBytesConfig(**settings),  # type: ignore[no-untyped-call]  # transformers has no types
        local_files_only=True,
    )
    model.dequantize().save_pretrained(output)
    copy_files(base, (*MODEL_FILES, *TOKENIZER_FILES), output)
    return output
