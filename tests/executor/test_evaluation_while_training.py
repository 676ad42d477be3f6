"""Evaluations of a run that trains: they change nothing, unless the run ends by them or its best model is picked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.evaluation_fields import Evaluation
from state.diagnostic import ProblemError
from tests.executor.test_training import (
    BASIC,
    DROPPED_OUT,
    MANY,
    Laboratory,
    Trained,
    _held_back_loss,
    _keep_handler,
    laboratory,
    metrics,
    resumed,
    run,
    stopped,
)

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
__all__ = ["_keep_handler", "laboratory"]

HELD_BACK = evolve(BASIC, val_set_size=0.25, num_epochs=8, learning_rate=3e-2)
"""Nine rows to train on, so three steps an epoch; it learns them by heart and becomes worse at the three others."""
SELECTING = Evaluation(eval_steps=2, early_stopping_patience=2, load_best_model_at_end=True)


@pytest.fixture(scope="module")
def overfitted(laboratory: Laboratory) -> Trained:
    """A run that ended early."""
    return run(laboratory.task(evolve(HELD_BACK, evaluation=SELECTING), laboratory.tokens(MANY, HELD_BACK)))


def evaluated(made: Trained) -> dict[int, float]:
    return {row["step"]: row["eval_loss"] for row in metrics(made) if "eval_loss" in row}


def test_evaluating_leaves_every_random_number_to_the_training(laboratory: Laboratory) -> None:
    stage = evolve(HELD_BACK, adapter=DROPPED_OUT, max_steps=4)
    tokens = laboratory.tokens(MANY, stage)
    evaluations = (None, Evaluation(eval_steps=1))
    made = [run(laboratory.task(evolve(stage, evaluation=one), tokens)) for one in evaluations]
    assert made[0].weights == made[1].weights
    assert list(evaluated(made[0])) == [4]
    assert list(evaluated(made[1])) == [1, 2, 3, 4]
    assert [row["step"] for row in metrics(made[1])] == [1, 2, 3, 4]


def test_a_run_ends_when_it_no_longer_becomes_better_and_yields_its_best_model(overfitted: Trained) -> None:
    losses = evaluated(overfitted)
    best = min(losses, key=lambda step: losses[step])
    facts: dict[str, Any] = {**overfitted.outcome.facts}
    figures: dict[str, Any] = {**overfitted.outcome.metrics}
    assert best + 4 == facts["stopped_early_at"] == figures["steps"] < facts["steps"] == 24
    assert facts["best_step"] == best
    assert figures["eval_loss"] == pytest.approx(losses[best], abs=1e-6)
    assert _held_back_loss(overfitted, overfitted.task.one("tokens")) == pytest.approx(losses[best], abs=1e-5)
    assert [one.step for one in overfitted.kept] == [facts["stopped_early_at"]]


def test_a_run_that_ended_early_is_not_trained_further(overfitted: Trained) -> None:
    task = evolve(overfitted.task, output=str(Path(overfitted.task.output).with_name("again")))
    Path(task.output).mkdir()
    again = run(evolve(task, resume_from=overfitted.kept[-1], earlier=overfitted.kept))
    assert again.said == []
    assert again.weights == overfitted.weights
    assert metrics(again) == metrics(overfitted)
    facts = again.outcome.facts
    assert facts["stopped_early_at"] == facts["resumed_from"] == overfitted.outcome.facts["stopped_early_at"]


@pytest.mark.parametrize("before", [1, 0, -2])
def test_an_interrupted_run_ends_and_chooses_as_if_nothing_had_been(
    overfitted: Trained, laboratory: Laboratory, before: int
) -> None:
    task = laboratory.task(evolve(HELD_BACK, evaluation=SELECTING), overfitted.task.one("tokens"))
    made = run(resumed(task, stopped(task, int(str(overfitted.outcome.facts["best_step"])) - before)))
    assert made.weights == overfitted.weights
    assert made.outcome.output_digest == overfitted.outcome.output_digest
    assert metrics(made) == metrics(overfitted)


def test_a_metric_that_is_not_measured_is_told_at_the_first_evaluation(laboratory: Laboratory) -> None:
    evaluation = Evaluation(eval_steps=1, early_stopping_patience=1, metric_for_best_model="accuracy")
    with pytest.raises(ProblemError) as error:
        run(laboratory.task(evolve(HELD_BACK, evaluation=evaluation)))
    (found,) = error.value.diagnostics
    assert found.detail == "`metric_for_best_model` is accuracy, which the evaluation does not measure."
    assert "loss" in found.hint


@pytest.mark.parametrize(("times", "steps"), [(1, [3, 6]), (2, [2, 4, 6]), (3, [1, 2, 3, 4, 5, 6])])
def test_evaluations_are_spread_over_an_epoch(laboratory: Laboratory, times: int, steps: list[int]) -> None:
    stage = evolve(HELD_BACK, evaluation=Evaluation(evals_per_epoch=times), num_epochs=2)
    assert list(evaluated(run(laboratory.task(stage)))) == steps
