"""The same training in smaller micro-batches, where those that were asked for do not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from executor.applying.means import Means
from executor.models.dropout_rates import drops_out
from executor.models.model_configuration import configuration
from executor.workers import events
from executor.workers.launch import Emit
from executor.workers.out_of_memory import OutOfMemoryError
from executor.workers.task import Outcome, Task
from executor.workers.world import micro_batch
from state import artifacts
from state.record import Checkpoint


def build_in_memory(
    means: Means, task: Task, emit: Emit, log: Path, reached: Callable[[], Sequence[Checkpoint]]
) -> Outcome:
    """Build a task; if it lacks memory and says `auto_micro_batch`, again with half the micro-batch, and so on.

    `reached` tells the checkpoints that there are: a training goes on from the newest.
    """
    while True:
        try:
            return means.build(task, emit, means.stop, log)
        except OutOfMemoryError as error:
            micro = smaller(task)
            if micro is None or means.stop.requested:
                raise
            emit(events.Message(task.address, f"{_said(error)} Going on with `micro_batch_size` = {micro}."))
            task = _again(task, micro, reached())


def smaller(task: Task) -> int | None:
    """The next smaller micro-batch of which a step has a whole number; None where that would be another training."""
    settings: Mapping[str, Any] = task.settings
    if (
        task.kind != "train"
        or not settings["auto_micro_batch"]
        or drops_out(configuration(Path(task.inputs["model"][0].folder)))
    ):
        return None
    micro = micro_batch(settings, task.world)
    return max((one for one in range(1, micro) if micro % one == 0), default=None)


def _again(task: Task, micro: int, reached: Sequence[Checkpoint]) -> Task:
    output = task.output_folder
    artifacts.discard_incomplete(output)
    output.mkdir(parents=True, exist_ok=True)
    settings = {**task.settings, "micro_batch_size": micro}
    return evolve(task, settings=settings, resume_from=reached[-1] if reached else None, earlier=tuple(reached))


def _said(error: OutOfMemoryError) -> str:
    return error.diagnostics[0].detail
