"""Where a training starts: its folder as the run that it continues left it, every byte of that proved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from executor.evaluation.metrics_file import MetricsFile
from executor.evaluation.sample_file import SampleFile
from executor.training.best_model import best_folder, take_over
from executor.training.distributed_fields import checkpoint_format, is_bound
from executor.workers.task import Task
from state import artifacts
from state.diagnostic import problem
from state.record import Checkpoint


def prepare(task: Task, checkpoint: Path | None, files: Sequence[MetricsFile | SampleFile]) -> None:
    """Have the checkpoints' folder as the run that is continued left it, or empty."""
    if task.resume_from is not None:
        _check_layout(task.resume_from, task)
        _check(task.resume_from, task)
    _clear_leftovers(task)
    for file in files:
        file.continue_from(checkpoint)
    take_over(checkpoint, best_folder(task))


def _check_layout(checkpoint: Checkpoint, task: Task) -> None:
    """Refuse what the strategy cannot read: DDP would lose DeepSpeed's optimizer without a word."""
    own, bound = checkpoint_format(task.settings), is_bound(checkpoint.format)
    if checkpoint.format != own or (bound and checkpoint.world_size != task.world.size):
        written = f"{checkpoint.format} on {checkpoint.world_size} processes"
        detail = f"The checkpoint of step {checkpoint.step} is {written}; the run is {own} on {task.world.size}."
        raise problem("Checkpoint of another layout", detail, "Set `distributed` as it was, or use `--replace`.")


def _check(checkpoint: Checkpoint, task: Task) -> None:
    """Read every byte before trusting one; a damaged checkpoint is set aside so that the next plan passes it over."""
    folder = Path(task.tune_folder) / checkpoint.folder
    manifest = artifacts.read(folder)
    if manifest is not None and manifest.digest == checkpoint.digest and not artifacts.verify(folder):
        return
    (folder / artifacts.MANIFEST).unlink(missing_ok=True)
    detail = f"The checkpoint of step {checkpoint.step} of {task.address} is damaged, and is not used any more."
    raise problem("Damaged checkpoint", detail, "Run `tune plan` again: it continues from an earlier one, or anew.")


def _clear_leftovers(task: Task) -> None:
    """Remove checkpoints of an earlier attempt that this run does not continue: incomplete ones, and later ones."""
    kept = {Path(task.tune_folder) / one.folder for one in task.earlier}
    folder = Path(task.checkpoints)
    for child in folder.glob("checkpoint-*") if folder.is_dir() else ():
        if child not in kept:
            artifacts.remove(child)
