"""Which evaluation is the best, and when a run ends by them: as transformers' own callback counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evaluation.selection import Evaluated, Selection, selection_of

LOSS = Selection("eval_loss", greater_is_better=False, patience=2, threshold=0.0, keeps_best=True)


def evaluated(*values: float) -> list[Evaluated]:
    return [Evaluated(10 * number, value) for number, value in enumerate(values, 1)]


def test_the_first_of_the_best_is_the_best() -> None:
    assert LOSS.best(evaluated(3.0, 1.0, 2.0, 1.0)) == Evaluated(20, 1.0)
    assert LOSS.best(evaluated(float("nan"), 3.0)) == Evaluated(20, 3.0)
    assert LOSS.best([]) is None


def test_a_run_goes_on_while_it_becomes_better_often_enough() -> None:
    assert LOSS.ends_at(evaluated(3.0, 3.5, 2.0, 2.5, 1.0)) is None
    assert LOSS.ends_at(evaluated(3.0, 3.5, 3.5, 1.0)) == 30


@pytest.mark.parametrize(
    ("metric", "said", "greater"),
    [("loss", "auto", False), ("perplexity", "auto", False), ("rougeL", "auto", True), ("loss", True, True)],
)
def test_more_is_better_but_for_losses_unless_the_recipe_says_so(metric: str, said: Any, *, greater: bool) -> None:
    evaluation = {
        "early_stopping_patience": 1,
        "early_stopping_threshold": 0.0,
        "load_best_model_at_end": False,
        "metric_for_best_model": metric,
        "greater_is_better": said,
    }
    selection = selection_of({"evaluation": evaluation})
    assert selection is not None
    assert (selection.metric, selection.greater_is_better) == (f"eval_{metric}", greater)
    assert selection_of({"evaluation": {**evaluation, "early_stopping_patience": 0}}) is None
    assert selection_of({"evaluation": None}) is None


@pytest.mark.torch
@given(
    values=st.lists(st.sampled_from([1.0, 1.5, 2.0, 2.5, 3.0]), max_size=12),
    patience=st.integers(1, 4),
    threshold=st.sampled_from([0.0, 0.5, 0.7]),
    greater=st.booleans(),
)
def test_it_ends_where_transformers_would_end_it(
    values: list[float], patience: int, threshold: float, *, greater: bool
) -> None:
    from transformers import EarlyStoppingCallback
    from transformers.trainer_utils import IntervalStrategy

    callback: Any = EarlyStoppingCallback(patience, threshold)
    arguments: Any = SimpleNamespace(
        metric_for_best_model="loss", greater_is_better=greater, eval_strategy=IntervalStrategy.STEPS
    )
    state, control = SimpleNamespace(best_metric=None), SimpleNamespace(should_training_stop=False)
    ended = None
    for one in evaluated(*values):
        callback.on_evaluate(arguments, state, control, {"eval_loss": one.value})
        better = state.best_metric is None or (
            one.value > state.best_metric if greater else one.value < state.best_metric
        )
        state.best_metric = one.value if better else state.best_metric
        if control.should_training_stop:
            ended = one.step
            break
    found = Selection("eval_loss", greater, patience, threshold, keeps_best=False)
    assert found.ends_at(evaluated(*values)) == ended
