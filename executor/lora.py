"""Adapters: the recipe's table as PEFT's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def adapter_configuration(adapter: Mapping[str, Any] | None, task: str = "CAUSAL_LM") -> Any:  # noqa: ANN401  PEFT has no types
    """PEFT's LoraConfig for a `[train.NAME.adapter]` table; None where all weights are trained."""
    if adapter is None:
        return None
    from peft import LoraConfig

    target = adapter["target_modules"]
    return LoraConfig(
        task_type=task,
        r=adapter["r"],
        lora_alpha=adapter["lora_alpha"],
        lora_dropout=adapter["lora_dropout"],
        target_modules=target if isinstance(target, str) else list(target),
        modules_to_save=list(adapter["modules_to_save"]) or None,
        use_rslora=adapter["use_rslora"],
        use_dora=adapter["type"] == "dora",
    )


def keep_adapters_exact(model: Any) -> None:  # noqa: ANN401  transformers has no types
    """Train in float32 whatever the base holds: what a resume loads is float32 too, and must be the same numbers."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
