"""`[train.NAME.evaluation]`: what is measured while a run trains, and what the run makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from planner.effects import Effect, setting
from planner.limits import not_empty, not_negative, positive
from state.canonical import Plain

_MEASURED = "it decides the weights only where early stopping or the best model goes by it"


def where_it_selects(settings: Mapping[str, Plain]) -> Effect:
    """Evaluation leaves every bit of a run alone, unless the run ends by it or its best model is picked by it."""
    evaluation = settings.get("evaluation")
    if not isinstance(evaluation, Mapping):
        return Effect.RUNTIME
    selects = evaluation.get("early_stopping_patience") or evaluation.get("load_best_model_at_end")
    return Effect.REBUILD if selects else Effect.RUNTIME


@frozen
class Evaluation:
    """How often is measured, on the rows of `val_set_size` or of `test_datasets`, and what follows from it."""

    eval_steps: int = setting(100, effect=where_it_selects, why=_MEASURED, validator=positive)
    evals_per_epoch: int = setting(0, effect=where_it_selects, why=_MEASURED, validator=not_negative)
    """0: as eval_steps says."""
    early_stopping_patience: int = setting(0, effect=where_it_selects, why=_MEASURED, validator=not_negative)
    """Evaluations in a row without a better metric after which the run ends; 0: it never ends early."""
    early_stopping_threshold: float = setting(0.0, effect=where_it_selects, why=_MEASURED, validator=not_negative)
    """By how much a metric must be better to count."""
    load_best_model_at_end: bool = setting(default=False, effect=where_it_selects, why=_MEASURED)
    """Whether the weights of the best evaluation are kept, instead of the last ones."""
    metric_for_best_model: str = setting("loss", effect=where_it_selects, why=_MEASURED, validator=not_empty)
    """What early stopping and the best model go by."""
    greater_is_better: bool | Literal["auto"] = setting("auto", effect=where_it_selects, why=_MEASURED)
    """ "auto": for all metrics but losses and perplexity."""
