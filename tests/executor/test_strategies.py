"""What libraries do without a word where they cannot do what they are asked for: it is told, and nothing is trained."""

from __future__ import annotations

import pytest
from attrs import evolve

from executor.methods.sft import METHOD
from executor.training.training import _trainer
from executor.training.training_run import Run
from executor.workers.worker_reports import Reporter
from executor.workers.world import World
from state.diagnostic import ProblemError
from state.record import Checkpoint
from tests.executor.test_training import BASIC, Laboratory, laboratory, run

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
__all__ = ["laboratory"]


def test_one_process_where_two_were_asked_for_does_not_train(laboratory: Laboratory) -> None:
    task = evolve(laboratory.task(BASIC), world=World("ddp", 2))
    with pytest.raises(ProblemError) as error:
        _trainer(METHOD, Run(task, Reporter(task.address, lambda _: None)))
    (found,) = error.value.diagnostics
    assert found.summary == "Wrong strategy"
    assert found.detail == "The recipe asks for ddp on 2 processes; accelerate set up NO on 1."


@pytest.mark.parametrize("written_by", ["zero-2", "fsdp-sharded"])
def test_a_checkpoint_of_another_strategy_is_refused_before_anything_of_it_is_lost(
    laboratory: Laboratory, written_by: str
) -> None:
    before = Checkpoint(2, "checkpoint-2", "", written_by, 2)
    with pytest.raises(ProblemError) as error:
        run(evolve(laboratory.task(BASIC), resume_from=before, earlier=(before,)))
    (found,) = error.value.diagnostics
    assert found.detail == f"The checkpoint of step 2 is {written_by} on 2 processes; the run is torch on 1."
