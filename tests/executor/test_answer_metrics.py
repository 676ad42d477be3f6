"""Metrics of the user's own: what they give is taken, or told as their mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.evaluation.answer_metrics import answer_metrics, metric_faults
from executor.evaluation.evaluating import Prediction
from executor.evaluation.selection import evaluation_at
from executor.training.rewards import reward_faults
from state.diagnostic import ProblemError
from state.files import digest_file

GIVEN = (Prediction("4?", "4", "4"), Prediction("5?", "6", "5"))


def measured(folder: Path, body: str) -> dict[str, float]:
    (folder / "own.py").write_text(f"def f(answers, references):\n    {body}\n")
    (metric,) = answer_metrics(["own.py:f"], folder, {"own.py": digest_file(folder / "own.py")})
    return {**metric(GIVEN)}


def test_a_number_or_several_by_name_are_taken(tmp_path: Path) -> None:
    assert measured(tmp_path, "return len(answers)") == {"f": 2.0}


def test_several_by_name_are_taken(tmp_path: Path) -> None:
    assert measured(tmp_path, "return {'long': 1, 'short': 0.5}") == {"long": 1.0, "short": 0.5}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return float('nan')", "`own.py:f` gave nan for `f`."),
        ("return {'long': float('inf')}", "`own.py:f` gave inf for `long`."),
        ("return {'loss': 0.5}", "`own.py:f` gave a figure called `loss`, which is measured already."),
        ("return None", None),
    ],
)
def test_what_no_record_can_hold_or_takes_the_place_of_another_is_refused(
    tmp_path: Path, body: str, told: str | None
) -> None:
    """No number ended a run after its last step, and every attempt to end it again."""
    with pytest.raises(ProblemError) as error:
        measured(tmp_path, body)
    (found,) = error.value.diagnostics
    assert found.summary == "Metric failed"
    assert told is None or found.detail == told


def test_what_is_no_number_is_left_out_of_a_record() -> None:
    log = [{"step": 4, "eval_loss": 0.5, "eval_rewards/chosen": float("nan"), "eval_runtime": 1.0}]
    assert evaluation_at(4, log) == {"eval_loss": 0.5}


def test_functions_of_one_name_are_refused_whose_figures_could_not_be_told_apart() -> None:
    assert list(metric_faults(["a.py:f", "b.py:f", "bleu"])) == [
        ("several metrics are called `f`, and only one could be kept", "Give each a name of its own.")
    ]
    assert list(reward_faults(["length", "a.py:length", "a.py:f"])) == [
        (
            "several rewards are called `length`, whose figures would be mixed up",
            "Give each a name of its own; `reward_weights` says how much one counts.",
        )
    ]
