"""Effects that depend on whether a training run draws random numbers for each micro-batch: dropout's, NEFTune's."""

from __future__ import annotations

from collections.abc import Mapping

from planner.effects import Effect
from state.canonical import Plain


def neutral_without_dropout(settings: Mapping[str, Plain]) -> Effect:
    """Splits only round differently; with dropout or NEFTune they draw other masks or noise (measured: 1e-7, 9e-2)."""
    adapter = settings.get("adapter")
    dropout = adapter.get("lora_dropout", 0.0) if isinstance(adapter, Mapping) else 0.0
    return Effect.REBUILD if dropout or settings.get("neftune_noise_alpha") else Effect.NUMERICS
