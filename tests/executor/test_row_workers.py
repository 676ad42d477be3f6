"""Processes that load rows beside a training: what asks it to stop may reach them too."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from executor.methods.sft import METHOD
from executor.training.training import train
from executor.workers.worker_reports import Reporter, StopRequestedError
from tests.executor.test_training import BASIC, Laboratory, _keep_handler, _kept, laboratory, resumed, run

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
__all__ = ["_keep_handler", "laboratory"]


@define
class StopAll(Reporter):
    """Asks all that runs to stop after the first step, as a cluster would: those that load rows too."""

    def progress(self, done: int, *_: object, **__: object) -> None:
        if done == 1:
            loading = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            assert loading
            subprocess.run(["kill", *loading, str(os.getpid())], check=True)  # noqa: S607  torch tells who sent it


def test_they_do_not_fail_a_training_that_is_asked_to_stop(laboratory: Laboratory) -> None:
    task, said = laboratory.task(evolve(BASIC, dataloader_num_workers=2)), list[Any]()
    with pytest.raises(StopRequestedError):
        train(METHOD, task, StopAll(task.address, said.append))
    assert run(resumed(task, _kept(said))).weights == laboratory.straight("full").weights
