"""Effects that depend on whether a run draws random numbers for each micro-batch: for dropout, NEFTune, answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from executor.models.dropout_rates import drops_out
from executor.models.model_configuration import root_configuration
from planner.effects import Effect
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.applying.probe import Surroundings
    from planner.kind import Resource

ANSWERS = "max_completion_length"
"""The field that runs have whose model answers while it trains."""
DISABLED = "disable_dropout"
"""The field that the methods have which can do without."""
DROPOUT = "dropout"
"""The fact whether what is trained has dropout of its own, which no field of the run says."""


def neutral_without_dropout(settings: Mapping[str, Plain], facts: Mapping[str, Plain]) -> Effect:
    """Splits only round differently; with dropout or NEFTune they draw other masks or noise (measured: 1e-7, 9e-2).

    A run that learns from answers of its own model draws them in every process anew.
    """
    adapter = settings.get("adapter")
    dropout = adapter.get("lora_dropout", 0.0) if isinstance(adapter, Mapping) else 0.0
    draws = dropout or settings.get("neftune_noise_alpha") or ANSWERS in settings or facts.get(DROPOUT)
    return Effect.REBUILD if draws else Effect.NUMERICS


def found(resource: Resource, surroundings: Surroundings) -> dict[str, Plain]:
    """The fact as far as it can be told before the model is loaded: from its configuration, else from the record."""
    stage: Any = resource.specification
    config = root_configuration(stage.model, surroundings.resources, surroundings.folder)
    if config:
        return fact(config, disabled=getattr(stage, DISABLED, False))
    record = surroundings.record(resource)
    return {DROPOUT: record.facts[DROPOUT]} if record is not None and DROPOUT in record.facts else {}


def fact(config: Mapping[str, Any], *, disabled: bool) -> dict[str, Plain]:
    """The fact as a configuration has it."""
    return {DROPOUT: drops_out(config) and not disabled}
