"""Learning rates and lengths of runs compared with those of transformers itself."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.schedule import SCHEDULERS, Schedule, first_difference, total_steps

pytestmark = pytest.mark.torch

LENGTHS = [(0, 1), (0, 7), (1, 1), (1, 10), (3, 10), (7, 7), (9, 4), (10, 100), (33, 1000)]
"""Warm-up steps and total steps, from no warm-up at all to more warm-up than there are steps."""

LEARNING_RATE = 2e-4


RATES = st.floats(0.0, LEARNING_RATE / 2)
SHARES = st.floats(0.0, 1.0)
CYCLES = st.floats(0.1, 4.0)
CURVES = st.sampled_from(["linear", "cosine", "1-sqrt"])
SOME_LOWEST = st.fixed_dictionaries({"min_lr": RATES}) | st.fixed_dictionaries({"min_lr_rate": SHARES})
NOTHING: st.SearchStrategy[dict[str, Any]] = st.just({})
ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "constant": NOTHING,
    "constant_with_warmup": NOTHING,
    "linear": NOTHING,
    "cosine": st.fixed_dictionaries({}, optional={"num_cycles": CYCLES}),
    "cosine_with_min_lr": st.builds(
        operator.or_, SOME_LOWEST, st.fixed_dictionaries({}, optional={"num_cycles": CYCLES})
    ),
    "cosine_warmup_with_min_lr": st.builds(
        operator.or_,
        SOME_LOWEST,
        st.fixed_dictionaries({}, optional={"num_cycles": CYCLES, "warmup_lr_rate": SHARES}),
    ),
    "cosine_with_restarts": st.fixed_dictionaries({}, optional={"num_cycles": st.integers(1, 5)}),
    "inverse_sqrt": st.fixed_dictionaries({}, optional={"timescale": st.integers(1, 1000)}),
    "polynomial": st.fixed_dictionaries({}, optional={"power": st.floats(0.5, 3.0), "lr_end": RATES}),
    "warmup_stable_decay": st.fixed_dictionaries(
        {"num_decay_steps": st.integers(1, 40)},
        optional={"warmup_type": CURVES, "decay_type": CURVES, "min_lr_ratio": SHARES, "num_cycles": CYCLES},
    ),
}


def test_every_scheduler_and_every_argument_is_compared() -> None:
    assert ARGUMENTS.keys() == SCHEDULERS.keys()


def matches_transformers(schedule: Schedule) -> None:
    """To the last bit: where a plan finds two schedules to be one, trainers must find the same numbers in both."""
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=schedule.learning_rate)
    arguments = dict(schedule.arguments)
    theirs = get_scheduler(schedule.scheduler, optimizer, schedule.warmup_steps, schedule.total_steps, arguments)
    (multiplier,) = theirs.lr_lambdas
    for step in range(schedule.total_steps + 3):
        if schedule.scheduler == "polynomial" and step == schedule.warmup_steps == schedule.total_steps:
            continue  # transformers divides by zero
        assert schedule.factor(step) == multiplier(step)


@pytest.mark.parametrize("name", SCHEDULERS)
@settings(max_examples=60, deadline=None)
@given(warmup=st.integers(0, 60), total=st.integers(1, 60), data=st.data())
def test_learning_rates_are_those_of_transformers(name: str, warmup: int, total: int, data: st.DataObject) -> None:
    matches_transformers(Schedule(name, LEARNING_RATE, warmup, total, data.draw(ARGUMENTS[name])))


@pytest.mark.parametrize(("warmup", "total"), LENGTHS)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_learning_rates_are_those_of_transformers_at_the_edges(name: str, warmup: int, total: int) -> None:
    required: dict[str, dict[str, Any]] = {
        "cosine_with_min_lr": {"min_lr": 1e-5},
        "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
        "warmup_stable_decay": {"num_decay_steps": 3},
    }
    matches_transformers(Schedule(name, LEARNING_RATE, warmup, total, required.get(name, {})))


@pytest.mark.parametrize(
    "run",
    [
        (8, 2, 2, 1, 0),
        (9, 2, 2, 1, 0),
        (9, 2, 2, 3, 0),
        (7, 2, 3, 2, 0),
        (10, 1, 4, 2.5, 0),
        (10, 3, 1, 0.3, 0),
        (11, 2, 4, 1.01, 0),
        (3, 8, 4, 2, 0),
        (1, 1, 1, 0.5, 0),
        (10, 1, 1, 0.7, 0),
        (100, 1, 1, 1.1, 0),
        (5, 2, 2, 1, 4),
        (5, 2, 2, 7, 1),
    ],
)
def test_total_steps_are_those_that_the_trainer_runs(run: tuple[int, int, int, float, int], tmp_path: Path) -> None:
    """A run is rows, micro-batch size, accumulation, epochs, and a maximum of steps or 0."""
    import torch
    from transformers import Trainer, TrainingArguments

    class Line(torch.nn.Module):
        """One weight, fitted to the sum of its inputs."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": (self.weight * inputs).mean()}

    rows, micro_batch_size, accumulation, num_epochs, max_steps = run
    arguments = TrainingArguments(
        str(tmp_path),
        per_device_train_batch_size=micro_batch_size,
        gradient_accumulation_steps=accumulation,
        num_train_epochs=num_epochs,
        max_steps=max_steps or -1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(Line(), arguments, train_dataset=[{"inputs": float(row)} for row in range(rows)])
    trainer.train()
    assert total_steps(*run) == trainer.state.global_step


def test_longer_constant_runs_start_the_same() -> None:
    short = Schedule("constant_with_warmup", LEARNING_RATE, 5, 20)
    assert first_difference(short, evolve(short, total_steps=1000), 1000) is None


@pytest.mark.parametrize("name", ["cosine", "cosine_with_restarts", "linear"])
def test_decay_differs_right_after_the_warmup(name: str) -> None:
    """The last warm-up rate and the first full one do not depend on the length; the one after that does."""
    short = Schedule(name, LEARNING_RATE, 5, 20)
    assert first_difference(short, evolve(short, total_steps=40), 20) == 6


def test_another_warmup_differs_at_the_second_step() -> None:
    """Both start at zero."""
    before = Schedule("inverse_sqrt", LEARNING_RATE, 5, 20)
    assert first_difference(before, evolve(before, warmup_steps=6), 20) == 1


def test_another_learning_rate_differs_at_once_without_warmup() -> None:
    before = Schedule("constant", LEARNING_RATE, 0, 20)
    assert first_difference(before, evolve(before, learning_rate=1e-4), 20) == 0


def test_another_scheduler_can_give_the_same_run() -> None:
    before = Schedule("constant", LEARNING_RATE, 0, 20)
    assert first_difference(before, evolve(before, scheduler="constant_with_warmup"), 20) is None


@pytest.mark.parametrize(("steps", "expected"), [(0, None), (6, None), (7, 6)])
def test_only_the_steps_asked_for_are_compared(steps: int, expected: int | None) -> None:
    before = Schedule("linear", LEARNING_RATE, 5, 20)
    assert first_difference(before, evolve(before, total_steps=21), steps) == expected


def test_stable_learning_rates_are_the_same_up_to_the_earlier_decay() -> None:
    short = Schedule("warmup_stable_decay", LEARNING_RATE, 5, 20, {"num_decay_steps": 4})
    # The first decaying step still has the full rate.
    assert first_difference(short, evolve(short, total_steps=40), 20) == 17
