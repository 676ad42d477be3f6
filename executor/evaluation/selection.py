"""Which evaluation of a run was the best, and whether the run should have ended: functions of its log alone.

So a run that is resumed knows what it knew before, whatever became of the process that evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from executor.evaluation.metrics_file import LEFT_OUT
from planner.resume import STOPPED_EARLY
from state.canonical import Plain
from state.values import frozen

LOWER_IS_BETTER = ("loss", "perplexity")
"""Ends of the names of metrics of which less is better."""


@frozen
class Evaluated:
    """One evaluation: after which optimizer step, and what it measured."""

    step: int
    value: float


@frozen
class Selection:
    """What a run's evaluations decide."""

    metric: str
    """As trainers log it: `eval_loss`."""
    greater_is_better: bool
    patience: int
    """0: the run never ends early."""
    threshold: float
    keeps_best: bool

    def evaluations(self, log: Iterable[Mapping[str, Any]]) -> list[Evaluated]:
        """The evaluations in a trainer's log, in their order."""
        return [Evaluated(int(one["step"]), float(one[self.metric])) for one in log if self.metric in one]

    def better(self, one: float, other: float) -> bool:
        """Whether one value is better than another; no number is never better."""
        return one > other if self.greater_is_better else one < other

    def best(self, evaluations: Sequence[Evaluated]) -> Evaluated | None:
        """The first of the best evaluations; None where nothing was measured."""
        best: Evaluated | None = None
        for one in evaluations:
            if best is None or self.better(one.value, best.value) or best.value != best.value:
                best = one
        return best

    def ends_at(self, evaluations: Sequence[Evaluated]) -> int | None:
        """The step after which the run ends early, as transformers' EarlyStoppingCallback counts; None if it goes on.

        An evaluation counts as no better unless it is better than the best before by more than the threshold.
        """
        if not self.patience:
            return None
        best: Evaluated | None = None
        waited = 0
        for one in evaluations:
            improved = best is None or (
                self.better(one.value, best.value) and abs(one.value - best.value) > self.threshold
            )
            waited = 0 if improved else waited + 1
            best = self.best([best, one] if best is not None else [one])
            if waited >= self.patience:
                return one.step
        return None


def selection_of(settings: Mapping[str, Any]) -> Selection | None:
    """What a stage's settings say is selected; None where evaluations decide nothing."""
    evaluation = settings["evaluation"]
    if not evaluation or not (evaluation["early_stopping_patience"] or evaluation["load_best_model_at_end"]):
        return None
    metric, greater = str(evaluation["metric_for_best_model"]), evaluation["greater_is_better"]
    return Selection(
        metric=f"eval_{metric}",
        greater_is_better=is_greater_better(metric, greater),
        patience=int(evaluation["early_stopping_patience"]),
        threshold=float(evaluation["early_stopping_threshold"]),
        keeps_best=bool(evaluation["load_best_model_at_end"]),
    )


def is_greater_better(metric: str, said: object) -> bool:
    """Whether more of a metric is better; `said` is what the recipe says, which may be "auto"."""
    return not metric.endswith(LOWER_IS_BETTER) if said == "auto" else bool(said)


def chosen_facts(settings: Mapping[str, Any], log: Sequence[Mapping[str, Any]], total: int) -> dict[str, Plain]:
    """What the evaluations of a run decided, where they decide: after which steps it ended early and was best."""
    selection = selection_of(settings)
    if selection is None:
        return {}
    evaluations = selection.evaluations(log)
    ended, best = selection.ends_at(evaluations), selection.best(evaluations)
    facts: dict[str, Plain] = {STOPPED_EARLY: ended} if ended is not None and ended < total else {}
    return facts | ({"best_step": best.step} if best is not None and selection.keeps_best else {})


def evaluation_at(step: int, log: Sequence[Mapping[str, Any]]) -> dict[str, Plain]:
    """What the last evaluation after a step measured, without how long it took and without what is no number."""
    found = [one for one in log if one["step"] == step and "eval_loss" in one]
    measured = found[-1] if found else {}
    names = (name for name in measured if name.startswith("eval_") and not name.endswith(LEFT_OUT))
    return {name: round(float(measured[name]), 6) for name in names if math.isfinite(measured[name])}
