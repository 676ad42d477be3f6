"""Frozen weights in four or eight bits: how bitsandbytes is told, and weights folded together before it rounds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from executor.models.trust import trusts
from executor.workers.task import Input

BITS = ("load_in_4bit", "load_in_8bit")
"""Settings of a training, either of which says that its base was held in few bits."""


def quantization(settings: Mapping[str, Any]) -> Any:  # noqa: ANN401  transformers has no types
    """Transformers' BitsAndBytesConfig for the settings of a stage; None where weights keep all their bits."""
    if not any(settings[name] for name in BITS):
        return None
    from transformers import BitsAndBytesConfig

    names = [name for name in settings if name.startswith("bnb_4bit_")] if settings["load_in_4bit"] else []
    bits = {name: settings[name] for name in (*BITS, *names)}
    return BitsAndBytesConfig(**bits)  # type: ignore[no-untyped-call]  # transformers has no types


def fold(foundations: Sequence[Input], scratch: Path) -> Path:
    """The folder of the weights that the inputs make up, with all their bits; `scratch` is for adapters folded in."""
    from executor.merging.expert_merge import merge_with_parameters

    whole, *adapters = foundations
    folder = Path(whole.folder)
    for number, adapter in enumerate(adapters, start=1):
        output = scratch / str(number)
        merge_with_parameters(folder, Path(adapter.folder), output, None, trusted=trusts([whole]))
        folder = output
    return folder


def keep_scales(model: Any) -> Any:  # noqa: ANN401  transformers has no types
    """The model, whose weights in four bits stay what they are when it is asked without gradients.

    On some CPUs bitsandbytes would then round their scales for good: after its first evaluation, a run would train
    beside other weights.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
