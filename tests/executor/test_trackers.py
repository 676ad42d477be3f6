"""Where else a run's figures go: to trackers that are there, under the recipe's names, with no trace in the result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from attrs import asdict, evolve

from executor.training.guard_fields import Guards
from executor.training.logging_fields import Logging
from executor.training.trackers import set_environment, tracker_arguments
from state.diagnostic import ProblemError
from tests.executor.test_training import BASIC, Laboratory, _keep_handler, laboratory, run

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
__all__ = ["_keep_handler", "laboratory"]


@pytest.fixture(autouse=True)
def _keep_environment() -> Iterator[None]:
    """A worker has an environment of its own; a test gives it back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_trackers_are_told_names_and_nothing_else(laboratory: Laboratory) -> None:
    task = laboratory.task(BASIC)
    assert tracker_arguments(task, asdict(Logging())) == {"report_to": "none", "run_name": "train.it"}
    named = asdict(Logging(report_to=("wandb", "mlflow"), project="support", run_name="third"))
    assert tracker_arguments(task, named) == {
        "report_to": ["wandb", "mlflow"],
        "run_name": "third",
        "project": "support",
    }
    for name in ("WANDB_DIR", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)
    before = dict(os.environ)
    set_environment(task, named)
    assert {name: value for name, value in os.environ.items() if before.get(name) != value} == {
        "WANDB_PROJECT": "support",
        "MLFLOW_EXPERIMENT_NAME": "support",
        "WANDB_DIR": task.tune_folder,
        "MLFLOW_TRACKING_URI": f"sqlite:///{task.tune_folder}/mlflow.db",
    }
    os.environ["WANDB_DIR"] = "/elsewhere"
    set_environment(task, named)
    assert os.environ["WANDB_DIR"] == "/elsewhere"


def test_tensorboard_has_the_curves_of_the_run(laboratory: Laboratory) -> None:
    task = laboratory.task(evolve(BASIC, logging=Logging(report_to=("tensorboard",), run_name="third")))
    made = run(task)
    assert made.outcome.output_digest == laboratory.straight("full").outcome.output_digest
    (file,) = (Path(task.tune_folder) / "tensorboard" / "third").iterdir()
    content = file.read_bytes()
    for curve in (b"train/loss", b"train/grad_norm", b"train/learning_rate"):
        assert content.count(curve) == 6


def test_a_run_that_stays_bad_is_ended_by_its_watchdog_and_warnings_are_recorded(laboratory: Laboratory) -> None:
    guards = Guards(loss_watchdog_threshold=0.001, loss_watchdog_patience=4, clipped_steps=1)
    with pytest.raises(ProblemError, match=r"is .* at step 4, the 4th time in a row above"):
        run(laboratory.task(evolve(BASIC, guards=guards)))
    warned = run(laboratory.task(evolve(BASIC, guards=evolve(guards, loss_watchdog_threshold=0.0))))
    (text,) = cast("list[str]", warned.outcome.facts["warnings"])
    assert [one.text for one in warned.said if hasattr(one, "text")] == [f"warning: {text}"]
    assert warned.outcome.output_digest == laboratory.straight("full").outcome.output_digest
