"""Learning rates and lengths of runs compared with those of transformers itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from planner.schedule import SCHEDULERS, Schedule, first_difference, total_steps

pytestmark = pytest.mark.torch

LENGTHS = [(0, 1), (0, 7), (1, 1), (1, 10), (3, 10), (7, 7), (9, 4), (10, 100), (33, 1000)]
"""Warm-up steps and total steps, from no warm-up at all to more warm-up than there are steps."""

LEARNING_RATE = 2e-4


@pytest.mark.parametrize(("warmup", "total"), LENGTHS)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_learning_rates_are_exactly_those_of_transformers(name: str, warmup: int, total: int) -> None:
    import torch
    from transformers import get_scheduler

    schedule = Schedule(name, LEARNING_RATE, warmup, total)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LEARNING_RATE)
    theirs = get_scheduler(name, optimizer, warmup, total)
    (multiplier,) = theirs.lr_lambdas
    for step in range(total + 3):
        assert SCHEDULERS[name](step, warmup, total) == multiplier(step)
        assert [schedule.at(step)] == theirs.get_last_lr()
        optimizer.step()
        theirs.step()


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
