"""What ranks run in tests in the place of `executor.workers.worker`: the same, but for what they build.

`python rank_script.py ACT STEP.json`. Libraries take seconds to load, so one launch makes several trainings.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[2]))

from attrs import evolve

from executor.kinds.train import KIND
from executor.training import training
from executor.training.distributed_fields import checkpoint_format
from executor.workers import ranks, worker
from executor.workers.events import CheckpointWritten, WorkerEvent
from executor.workers.task import Outcome, Task
from executor.workers.worker_reports import Reporter, StopRequestedError
from state import artifacts
from state.files import digest_file
from state.record import Checkpoint

RANK = int(os.environ.get("RANK", "0"))
LAST = int(os.environ.get("WORLD_SIZE", "1")) - 1
NOTHING = Outcome(output_digest="", has_artifact=False)
LAST_WORDS = "I am rank 1"


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


def say_where(_: Task, __: Reporter) -> Outcome:
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    _say(" ".join(os.environ[name] for name in names))
    return NOTHING


def train(task: Task, reporter: Reporter) -> Outcome:
    """Train straight; train until one rank is asked to stop; go on from there."""
    _stay_together(task)
    straight = _train(task, "straight", reporter)
    kept = _stopped(task, reporter)
    resumed = _train(evolve(task, resume_from=kept[-1], earlier=kept), "stopped", reporter)
    _train(_from_the_end(task), "taken", reporter)
    if RANK == 0:
        results = {
            "straight": _weights(task, "straight"),
            "resumed": _weights(task, "stopped"),
            "taken": _weights(task, "taken"),
            "metrics": [dict(one.metrics) for one in (straight, resumed)],
            "facts": dict(resumed.facts),
            "kept": [(one.step, one.format, one.world_size) for one in kept],
        }
        Path(task.recipe_folder, "results.json").write_text(json.dumps(results))
    return NOTHING


def train_and_lose_one(task: Task, reporter: Reporter) -> Outcome:
    """As `train`, and then again, until a rank is killed."""
    train(task, reporter)
    _train(task, "killed", _AtStep(reporter.address, reporter.send, 2, signal.SIGKILL) if RANK == 1 else reporter)
    return NOTHING


class _AtStep(Reporter):
    """Sends a signal to this very rank when a step is done."""

    def __init__(self, address: str, send: object, step: int, number: int) -> None:
        super().__init__(address, send)  # type: ignore[arg-type]
        self.step, self.number = step, number

    def progress(self, done: int, *_: object) -> None:
        if done == self.step:
            os.kill(os.getpid(), self.number)


def train_once(task: Task, reporter: Reporter) -> Outcome:
    """Train straight, as it is asked for."""
    _stay_together(task)
    _train(task, "straight", reporter)
    return NOTHING


def train_with_fsdp(task: Task, reporter: Reporter) -> Outcome:
    """As `train`, where accelerate takes CPUs for GPUs: it has FSDP for no others, and falls back to DDP."""
    import torch
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    def set_device(state: PartialState) -> None:
        state.device = state.device or torch.device("cpu")

    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    PartialState.set_device = set_device
    return train(task, reporter)


def _stay_together(task: Task) -> None:
    """Join the other ranks once for several trainings."""
    joined = ranks.join(task.world)
    setattr(training, "join", lambda _: joined)  # noqa: B010  it is no name that others may import from there
    ranks.Ranks.end = ranks.Ranks.wait_for_all  # type: ignore[method-assign]


def _train(task: Task, name: str, reporter: Reporter) -> Outcome:
    return KIND.build(_placed(task, name), reporter)  # type: ignore[no-any-return]


def _stopped(task: Task, reporter: Reporter) -> tuple[Checkpoint, ...]:
    kept: list[Checkpoint] = []

    def listen(event: WorkerEvent) -> None:
        if isinstance(event, CheckpointWritten):
            kept[:] = event.kept

    asked = _AtStep(reporter.address, listen, 2, signal.SIGTERM)
    try:
        _train(task, "stopped", asked if RANK == LAST else Reporter(reporter.address, listen))
    except StopRequestedError:
        # Every rank has to name the checkpoint to go on from; the first one alone has written it.
        folder = Path(_placed(task, "stopped").checkpoints)
        return tuple(kept) or tuple(Checkpoint(3, str(one), "") for one in folder.glob("checkpoint-*"))
    message = "nobody stopped"
    raise AssertionError(message)


def _from_the_end(task: Task) -> Task:
    """The task, when a run that was killed after its last checkpoint is continued."""
    folder = Path(task.tune_folder) / "straight-checkpoints" / "checkpoint-6"
    manifest = artifacts.read(folder)
    assert manifest is not None
    last = Checkpoint(6, str(folder), manifest.digest, checkpoint_format(task.settings), task.world.size)
    return evolve(task, resume_from=last, earlier=(last,))


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
        *(sleep, say_where, one_lacks_a_module, one_is_killed, one_leaves, one_says_no_more),
        *(train, train_once, train_and_lose_one, train_with_fsdp),
    )
}

if __name__ == "__main__":
    setattr(worker, "build", ACTS[sys.argv.pop(1)])  # noqa: B010  a function takes its place
    worker.main()
