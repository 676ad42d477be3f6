"""Effects that depend on whether a run draws random numbers for each micro-batch: for dropout, NEFTune, answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from executor.models.dropout_rates import DROPOUT, fact
from executor.models.lineage import root_model
from planner.effects import Effect
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.applying.probe import Surroundings
    from planner.kind import Resource

ANSWERS = "max_completion_length"
"""The field that runs have whose model answers while it trains."""
DISABLED = "disable_dropout"
"""The field that the methods have which can do without."""


def neutral_without_dropout(settings: Mapping[str, Plain], facts: Mapping[str, Plain]) -> Effect:
    """Splits only round differently; with dropout or NEFTune they draw other masks or noise (measured: 1e-7, 9e-2).

    A run that learns from answers of its own model draws them in every process anew.
    """
    adapter = settings.get("adapter")
    dropout = adapter.get("lora_dropout", 0.0) if isinstance(adapter, Mapping) else 0.0
    draws = dropout or settings.get("neftune_noise_alpha") or ANSWERS in settings or facts.get(DROPOUT)
    return Effect.REBUILD if draws else Effect.NUMERICS


def found(resource: Resource, surroundings: Surroundings, config: Mapping[str, Any]) -> dict[str, Plain]:
    """The fact as far as it can be told before the model is loaded: from its configuration, else from records."""
    stage: Any = resource.specification
    disabled = bool(getattr(stage, DISABLED, False))
    if config:
        return fact(config, disabled=disabled)
    record = surroundings.record(resource)
    if record is not None and DROPOUT in record.facts:
        return {DROPOUT: record.facts[DROPOUT]}
    # A run that was cut off told nothing, but what it trains was recorded before.
    base = surroundings.record(surroundings.resources[root_model(stage.model, surroundings.resources)])
    if base is None or DROPOUT not in base.facts:
        return {}
    return {DROPOUT: bool(base.facts[DROPOUT]) and not disabled}
