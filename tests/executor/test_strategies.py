"""What libraries do without a word where they cannot do what they are asked for: it is told, and nothing is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from executor.methods.sft import METHOD
from executor.training.distributed_fields import Distributed
from executor.training.starting_point import prepare
from executor.training.training import _trainer
from executor.training.training_run import Run
from executor.workers.worker_reports import Reporter
from executor.workers.world import World
from planner.structure import settings_of
from state.diagnostic import ProblemError
from state.record import Checkpoint
from tests.executor.test_training import BASIC, Laboratory, laboratory, run

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
__all__ = ["laboratory"]


@pytest.mark.parametrize(
    ("world", "asked"),
    [
        (World("ddp", 2), "ddp on 2 processes"),
        (World("ddp", 1), "ddp on 1 process"),
        (World("single", 2), "single on 2 processes"),
    ],
    ids=["neither is right", "another strategy", "fewer processes"],
)
def test_what_was_not_asked_for_does_not_train(laboratory: Laboratory, world: World, asked: str) -> None:
    task = evolve(laboratory.task(BASIC), world=world)
    with pytest.raises(ProblemError) as error:
        _trainer(METHOD, Run(task, Reporter(task.address, lambda _: None)))
    (found,) = error.value.diagnostics
    assert found.summary == "Wrong strategy"
    assert found.detail == f"The recipe asks for {asked}; accelerate set up NO on 1."


@pytest.mark.parametrize("written_by", ["zero-2", "fsdp-sharded"])
def test_a_checkpoint_of_another_strategy_is_refused_before_anything_of_it_is_lost(
    laboratory: Laboratory, written_by: str
) -> None:
    before = Checkpoint(2, "checkpoint-2", "", written_by, 2)
    with pytest.raises(ProblemError) as error:
        run(evolve(laboratory.task(BASIC), resume_from=before, earlier=(before,)))
    (found,) = error.value.diagnostics
    assert found.detail == f"The checkpoint of step 2 is {written_by} on 2 processes; the run is torch on 1."


def test_a_checkpoint_that_more_ranks_share_is_refused(laboratory: Laboratory) -> None:
    """DeepSpeed's can be read by as many ranks as wrote it."""
    task, before = laboratory.task(BASIC), Checkpoint(2, "checkpoint-2", "", "zero-2", 4)
    settings = {**task.settings, "distributed": settings_of(Distributed("deepspeed", 2))}
    task = evolve(task, settings=settings, world=World("deepspeed", 2), resume_from=before, earlier=(before,))
    with pytest.raises(ProblemError) as error:
        prepare(task, Path(task.tune_folder) / before.folder, ())
    (found,) = error.value.diagnostics
    assert found.summary == "Checkpoint of another layout"
    assert found.detail == "The checkpoint of step 2 is zero-2 on 4 processes; the run is zero-2 on 2."
