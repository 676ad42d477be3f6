"""What ranks run in tests in the place of `executor.workers.worker`: the same, but for what they build.

`python rank_script.py ACT STEP.json`. Libraries take seconds to load, so one launch makes several trainings.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[2]))

from attrs import evolve

from executor.kinds.train import KIND
from executor.training import training
from executor.training.distributed_fields import checkpoint_format
from executor.workers import ranks, worker
from executor.workers.events import CheckpointWritten, WorkerEvent
from executor.workers.task import Outcome, Task, task_from_plain
from executor.workers.worker_reports import Reporter, StopRequestedError
from state import artifacts
from state.diagnostic import ProblemError
from state.files import digest_file
from state.record import Checkpoint

RANK = int(os.environ.get("RANK", "0"))
LAST = int(os.environ.get("WORLD_SIZE", "1")) - 1
NOTHING = Outcome(output_digest="", has_artifact=False)
LAST_WORDS = "I am rank 1"
LAST_STEP = 6
ROOM = 2
"""Rows of a micro-batch that there is memory for, where a rank is to lack some."""
CPUS_ARE_GPUS: list[bool] = []
"""Holds something once accelerate takes CPUs for GPUs."""
TOGETHER = "together.json"
"""A file in the recipe's folder with all tasks that one launch is for."""


def sleep(_: Task, __: Reporter) -> Outcome:
    """Work for ever, with a child process of one's own."""
    child = subprocess.Popen(["sleep", "600"])  # noqa: S607
    _say(f"child {child.pid}")
    time.sleep(600)
    return NOTHING


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def one_lacks_a_module(task: Task, reporter: Reporter) -> Outcome:
    if RANK == 1:
        _say(LAST_WORDS)
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401
    return sleep(task, reporter)


def one_is_killed(task: Task, reporter: Reporter) -> Outcome:
    if RANK == 1:
        _say(LAST_WORDS)
        os.kill(os.getpid(), signal.SIGKILL)
    return sleep(task, reporter)


def one_leaves(task: Task, reporter: Reporter) -> Outcome:
    if RANK == 1:
        raise SystemExit(0)
    return sleep(task, reporter)


def one_says_no_more(task: Task, reporter: Reporter) -> Outcome:
    """The first rank finishes, and another hangs."""
    return NOTHING if RANK == 0 else sleep(task, reporter)


def one_raises_among_others(task: Task, _: Reporter) -> Outcome:
    """The last rank fails in what the user wrote, while the others wait for it."""
    _say("joins")
    joined = ranks.join(task.world)
    if joined.rank == LAST:
        _say(LAST_WORDS)
        message = "what is 6 of 5?"
        raise IndexError(message)
    joined.wait_for_all()
    return NOTHING


def first_raises_among_others(task: Task, _: Reporter) -> Outcome:
    """As `one_raises_among_others`, with the first for the last."""
    joined = ranks.join(task.world)
    if joined.is_first:
        message = "what is 6 of 5?"
        raise IndexError(message)
    joined.wait_for_all()
    return NOTHING


def one_is_killed_among_others(task: Task, _: Reporter) -> Outcome:
    """The last rank is killed, with a child of its own, while the others wait for it."""
    joined = ranks.join(task.world)
    if joined.rank == LAST:
        child = subprocess.Popen(["sleep", "600"])  # noqa: S607
        _say(f"child {child.pid}")
        os.kill(os.getpid(), signal.SIGKILL)
    joined.wait_for_all()
    return NOTHING


def one_lacks_memory(task: Task, reporter: Reporter) -> Outcome:
    """The last rank has room for micro-batches of two rows; the others wait for it."""
    fits = task.settings["micro_batch_size"] == ROOM
    if RANK == LAST and not fits:
        raise MemoryError
    return NOTHING if fits else sleep(task, reporter)


def say_where(_: Task, __: Reporter) -> Outcome:
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    _say(" ".join(os.environ[name] for name in names))
    return NOTHING


def train(task: Task, reporter: Reporter) -> Outcome:
    """Train all that is to be trained together."""
    _stay_together(task)
    for one in _together(task):
        evaluation: Any = one.settings["evaluation"]
        if one.world.strategy == "fsdp" and not CPUS_ARE_GPUS:
            _refused(one, reporter)
        elif one.resume_from is not None:
            _train(one, "lost", reporter)
        elif evaluation and evaluation["early_stopping_patience"]:
            _train(one, "straight", reporter)
        else:
            _train_with_breaks(one, reporter)
    return NOTHING


def _refused(task: Task, reporter: Reporter) -> None:
    """Where accelerate has no FSDP, it trains with DDP and says nothing: what tune says to that."""
    try:
        _train(task, "refused", reporter)
    except ProblemError as error:
        said = [f"{one.summary}: {one.detail} {one.hint}" for one in error.diagnostics]
        if RANK == 0:
            Path(task.recipe_folder, "results.json").write_text(json.dumps(said))


def _train_with_breaks(task: Task, reporter: Reporter) -> None:
    """Train straight; until one rank is asked to stop, and on; and what a run that was stopped at its end comes to."""
    straight = _train(task, "straight", reporter)
    kept = _stopped(task, reporter, "stopped", 2)
    resumed = _train(evolve(task, resume_from=kept[-1], earlier=kept), "stopped", reporter)
    last = _stopped(task, reporter, "taken", LAST_STEP) if task.settings["evaluation"] else _end_of(task)
    taken = _train(evolve(task, resume_from=last[-1], earlier=last), "taken", reporter)
    if RANK == 0:
        results = {
            "straight": _weights(task, "straight"),
            "resumed": _weights(task, "stopped"),
            "taken": _weights(task, "taken"),
            "metrics": [dict(each.metrics) for each in (straight, resumed, taken)],
            "facts": dict(resumed.facts),
            "kept": [(each.step, each.format, each.world_size) for each in (*kept, *last)],
        }
        Path(task.recipe_folder, "results.json").write_text(json.dumps(results))


def _together(task: Task) -> list[Task]:
    """What is trained in one launch."""
    path = Path(task.recipe_folder) / TOGETHER
    return [task_from_plain(one) for one in json.loads(path.read_bytes())] if path.is_file() else [task]


def train_and_lose_one(task: Task, reporter: Reporter) -> Outcome:
    """As `train`, and then the first once more, until a rank is killed."""
    train(task, reporter)
    killed = _AtStep(reporter.address, reporter.send, 3, signal.SIGKILL)
    _train(_saving(task), "lost", killed if RANK == LAST else reporter)
    return NOTHING


def _saving(task: Task) -> Task:
    return evolve(task, settings={**task.settings, "checkpoints": {"save_steps": 2, "save_total_limit": 10}})


class _AtStep(Reporter):
    """Sends a signal to this very rank when a step is done."""

    def __init__(self, address: str, send: object, step: int, number: int) -> None:
        super().__init__(address, send)  # type: ignore[arg-type]
        self.step, self.number = step, number

    def progress(self, done: int, *_: object) -> None:
        if done == self.step:
            os.kill(os.getpid(), self.number)


def train_with_fsdp(task: Task, reporter: Reporter) -> Outcome:
    """As `train`, where accelerate takes CPUs for GPUs: it has FSDP for no others, and falls back to DDP."""
    import torch
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    def set_device(state: PartialState) -> None:
        state.device = state.device or torch.device("cpu")

    CPUS_ARE_GPUS.append(True)
    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    PartialState.set_device = set_device
    return train(task, reporter)


def _stay_together(task: Task) -> None:
    """Join the other ranks once for several trainings."""
    joined = ranks.join(task.world)
    setattr(training, "join", lambda _: joined)  # noqa: B010  it is no name that others may import from there
    ranks.Ranks.end = ranks.Ranks.wait_for_all  # type: ignore[method-assign]


def _train(task: Task, name: str, reporter: Reporter) -> Outcome:
    made: Outcome = KIND.build(_placed(task, name), reporter)
    if not gc.get_freeze_count():
        # Trainers look for garbage before they begin; what libraries keep for good would take most of that time.
        gc.collect()
        gc.freeze()
    return made


def _stopped(task: Task, reporter: Reporter, name: str, after: int) -> tuple[Checkpoint, ...]:
    """What is kept of a training that the last rank was asked to stop after a step."""
    kept: list[Checkpoint] = []

    def listen(event: WorkerEvent) -> None:
        if isinstance(event, CheckpointWritten):
            kept[:] = event.kept

    asked = _AtStep(reporter.address, listen, after, signal.SIGTERM)
    try:
        _train(task, name, asked if RANK == LAST else Reporter(reporter.address, listen))
    except StopRequestedError:
        return tuple(kept) or _end_of(task, name)
    message = "nobody stopped"
    raise AssertionError(message)


def _end_of(task: Task, name: str = "straight") -> tuple[Checkpoint, ...]:
    """The newest checkpoint of a run, which the first rank alone has written and told, for all ranks to name."""
    folders = Path(_placed(task, name).checkpoints).glob("checkpoint-*")
    step, folder = max((int(one.name.rpartition("-")[2]), one) for one in folders)
    manifest = artifacts.read(folder)
    assert manifest is not None
    return (Checkpoint(step, str(folder), manifest.digest, checkpoint_format(task.settings), task.world.size),)


def _placed(task: Task, name: str) -> Task:
    """The task with folders of its own."""
    output = Path(task.tune_folder) / name
    output.mkdir(parents=True, exist_ok=True)
    return evolve(task, output=str(output), checkpoints=str(Path(task.tune_folder) / f"{name}-checkpoints"))


def _weights(task: Task, name: str) -> dict[str, str]:
    folder = _placed(task, name).output_folder
    return {path.name: digest_file(path) for path in sorted(folder.glob("*.safetensors"))}


ACTS: dict[str, Callable[[Task, Reporter], Outcome]] = {
    act.__name__: act
    for act in (
        *(sleep, say_where, one_lacks_memory, one_lacks_a_module, one_is_killed, one_leaves, one_says_no_more),
        *(one_raises_among_others, first_raises_among_others, one_is_killed_among_others),
        *(train, train_and_lose_one, train_with_fsdp),
    )
}

if __name__ == "__main__":
    setattr(worker, "build", ACTS[sys.argv.pop(1)])  # noqa: B010  a function takes its place
    worker.main()
