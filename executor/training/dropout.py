"""Effects that depend on whether a run draws random numbers for each micro-batch: for dropout, NEFTune, answers."""

from __future__ import annotations

from collections.abc import Mapping

from planner.effects import Effect
from state.canonical import Plain

ANSWERS = "max_completion_length"
"""The field that runs have whose model answers while it trains."""


def neutral_without_dropout(settings: Mapping[str, Plain]) -> Effect:
    """Splits only round differently; with dropout or NEFTune they draw other masks or noise (measured: 1e-7, 9e-2).

    A run that learns from answers of its own model draws them in every process anew.
    """
    adapter = settings.get("adapter")
    dropout = adapter.get("lora_dropout", 0.0) if isinstance(adapter, Mapping) else 0.0
    draws = dropout or settings.get("neftune_noise_alpha") or ANSWERS in settings
    return Effect.REBUILD if draws else Effect.NUMERICS
