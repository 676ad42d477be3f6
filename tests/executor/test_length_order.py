"""Rows of about the same length together: in one order, whatever breaks and splits a run has."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from executor.methods.sft import METHOD
from executor.training.length_order import LengthOrder
from executor.training.training_run import Run
from executor.workers.worker_reports import Reporter
from tests.executor.test_training import (
    BASIC,
    STAGES,
    Laboratory,
    _keep_handler,
    laboratory,
    metrics,
    resumed,
    run,
    stopped,
)

__all__ = ["_keep_handler", "laboratory"]
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


def test_lengths_of_a_step_are_alike_and_every_row_comes_once() -> None:
    lengths = [one % 50 for one in range(0, 1700, 17)]
    order = LengthOrder(lengths, 4, 42, range(100))
    first = list(order)
    assert sorted(first) == list(range(100))
    for start in range(4, 64, 4):  # the longest of all comes first, and 64 rows are sorted at once
        found = [lengths[at] for at in first[start : start + 4]]
        assert found == sorted(found, reverse=True)
        assert found[0] - found[-1] < 10
    order.set_epoch(1)
    second = list(order)
    assert second != first
    order.set_epoch(0)
    assert list(order) == first
    order.data_source = range(99)
    assert sorted(order) == list(range(99))


@pytest.mark.parametrize("after", [1, 3])
def test_a_run_that_goes_on_sees_the_rows_that_it_would_have_seen(laboratory: Laboratory, after: int) -> None:
    """Three steps make an epoch: transformers draws another order where the second was broken off."""
    stage = evolve(STAGES["lora"], group_by_length=True)
    straight, task = run(laboratory.task(stage)), laboratory.task(stage)
    made = run(resumed(task, stopped(task, after)))
    assert made.weights == straight.weights
    assert metrics(made) == metrics(straight)


def test_micro_batches_do_not_decide_which_rows_a_step_sees(laboratory: Laboratory) -> None:
    stages = [evolve(BASIC, group_by_length=True, micro_batch_size=micro) for micro in (4, 1)]
    one, other = ([row["loss"] for row in metrics(run(laboratory.task(stage)))] for stage in stages)
    assert one == pytest.approx(other, abs=1e-5)


def test_the_trainer_reads_rows_in_this_order(laboratory: Laboratory) -> None:
    task = laboratory.task(evolve(BASIC, group_by_length=True, data_seed=7))
    trainer: Any = METHOD.train(Run(task, Reporter(task.address, lambda _: None)))
    order = trainer.get_train_dataloader().batch_sampler.sampler
    assert isinstance(order, LengthOrder)
    assert order.lengths == [len(ids) for ids in trainer.train_dataset["input_ids"]]
    assert (order.batch_size, order.seed, len(order)) == (4, 7, 12)
