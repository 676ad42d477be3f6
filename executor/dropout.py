"""Effects that depend on whether a training run draws dropout masks."""

from __future__ import annotations

from collections.abc import Mapping

from planner.effects import Effect
from state.canonical import Plain


def neutral_without_dropout(settings: Mapping[str, Plain]) -> Effect:
    """Splits only round differently, but with dropout they draw other masks (measured: 1e-7, 9e-2)."""
    adapter = settings.get("adapter")
    dropout = adapter.get("lora_dropout", 0.0) if isinstance(adapter, Mapping) else 0.0
    return Effect.REBUILD if dropout else Effect.NUMERICS
