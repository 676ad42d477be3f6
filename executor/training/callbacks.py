"""What happens around a trainer's steps: the recipe is kept to, checkpoints are completed, a wish to stop is heeded."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from executor.evaluation.metrics_file import MetricsFile
from executor.evaluation.sample_file import SampleFile
from executor.evaluation.selection import selection_of
from executor.training.best_model import Selecting, best_folder
from executor.training.distributed_fields import checkpoint_format
from executor.training.guards import Guarding
from executor.training.learning import RATIO
from executor.training.run_schedule import schedule_of
from executor.training.watching import Keeping, Telling
from executor.workers.events import CheckpointWritten
from executor.workers.ranks import Ranks
from executor.workers.task import Task
from executor.workers.worker_reports import Reporter, StopRequestedError
from state import artifacts
from state.record import Checkpoint
from state.values import frozen


@frozen
class Callbacks:
    """The callbacks of one run."""

    rules: Any
    stopping: Any
    progress: Any
    keeping: Any
    selecting: Any
    guarding: Any
    checkpointing: Any

    @property
    def all(self) -> tuple[Any, ...]:
        """In the order in which the trainer must call them: checkpoints are completed when all others had their say."""
        return (
            self.rules,
            self.stopping,
            self.progress,
            self.keeping,
            self.selecting,
            self.guarding,
            self.checkpointing,
        )


def callbacks(
    task: Task,
    reporter: Reporter,
    ranks: Ranks,
    metrics: MetricsFile,
    samples: SampleFile,
    save: Callable[[Path], None],
) -> Callbacks:
    """The callbacks of one run."""
    progress = telling(task, reporter)
    return Callbacks(
        rules=_made(RecipeRules),
        stopping=_made(Stopping, ranks),
        progress=progress,
        keeping=_made(Keeping, metrics, samples, progress),
        selecting=_made(Selecting, selection_of(task.settings), best_folder(task), save, ranks),
        guarding=_made(Guarding, task.settings, reporter),
        checkpointing=_made(Checkpointing, task, reporter, ranks),
    )


def telling(task: Task, reporter: Reporter) -> Any:  # noqa: ANN401  a Telling
    """The callback that tells how far a run is."""
    tokens = task.one("tokens").facts
    total = schedule_of(task.settings, int(cast("int", tokens["rows"]))).total_steps
    return _made(Telling, reporter, total, tokens.get("tokens", 0))


def _made(cls: type, *arguments: object) -> Any:  # noqa: ANN401  a TrainerCallback
    """A callback that is a subclass of transformers' own class, too, which must not be imported before."""
    from transformers import TrainerCallback

    return type(cls.__name__, (cls, TrainerCallback), {})(*arguments)


class RecipeRules:
    """The recipe decides, not what a checkpoint remembers of the settings that it was written under.

    transformers takes cadence, learning rate, betas and weight decay from the checkpoint when it resumes.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        """Put the arguments back in force before the first step."""
        state.compute_steps(args, state.max_steps)
        if state.global_step == 0:
            return
        scheduler = getattr(kwargs["lr_scheduler"], "scheduler", kwargs["lr_scheduler"])
        optimizer = getattr(kwargs["optimizer"], "optimizer", kwargs["optimizer"])
        # Groups of LoRA+ learn faster or slower than the recipe says.
        scheduler.base_lrs = [args.learning_rate * group.get(RATIO, 1.0) for group in optimizer.param_groups]
        groups = zip(optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
        for group, rate, multiplier in groups:
            group["initial_lr"] = rate
            group["lr"] = rate * multiplier(scheduler.last_epoch)
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]  # noqa: SLF001  what torch itself resumes with


class RunIsOverError(Exception):
    """Raised where a run is continued only to find, by an evaluation that was given up, that it ends here."""


class Stopping:
    """Turns SIGTERM to any rank into a checkpoint after the step in progress, and an end, of all ranks.

    An evaluation in progress is given up.
    """

    def __init__(self, ranks: Ranks) -> None:
        """Nothing asked yet."""
        self.ranks = ranks
        self.asked = False
        self.stopped_at: int | None = None
        self.gave_up_evaluation = False

    def on_train_begin(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """From here on there is something worth saving."""
        signal.signal(signal.SIGTERM, self._ask)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Save and end, if asked and if this was not the last step anyway."""
        if self.ranks.any(self.asked) and state.global_step < state.max_steps:
            self.stopped_at = int(state.global_step)
            control.should_save = True
            control.should_training_stop = True

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Do not wait for the end of an evaluation, which can be long: the step before it is over and can be saved.

        All ranks have as many of these steps, and none may leave the others alone with what they exchange.
        """
        if self.ranks.any(self.asked):
            self.gave_up_evaluation = True
            raise StopRequestedError(int(state.global_step))

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Train no step more after an evaluation that was made up for and says that the run is over."""
        if control.should_training_stop:
            raise RunIsOverError

    def _ask(self, *_: object) -> None:
        self.asked = True


class Checkpointing:
    """Completes what the trainer saved: bytes on the disk, manifest last, then rotation, then the news."""

    def __init__(self, task: Task, reporter: Reporter, ranks: Ranks) -> None:
        """Start from the checkpoints that the run continues."""
        self.task = task
        self.reporter = reporter
        self.ranks = ranks
        self.limit = int(cast("Any", task.settings["checkpoints"])["save_total_limit"])
        self.format = checkpoint_format(task.settings)
        self.kept = list(task.earlier)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Have the loss logged before every save: a run whose loss is no number must leave no checkpoint of it.

        An evaluation that is given up is followed by a save.
        """
        control.should_log = control.should_log or control.should_save or control.should_evaluate

    def has(self, step: int) -> bool:
        """Whether there is a checkpoint of a step, which the first rank knows. All ranks must ask."""
        return self.ranks.as_first(any(one.step == step for one in self.kept))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Called by the trainer on every rank when the files of that rank are written."""
        self.ranks.wait_for_all()
        if self.ranks.is_first:
            self._complete(args, state)
        # Whoever went on would wait in a collective of the backend, which has less patience.
        self.ranks.wait_for_all()

    def _complete(self, args: Any, state: Any) -> None:  # noqa: ANN401
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        # A pickle that nothing reads when it resumes; what may be shared holds none that would have to be trusted.
        (folder / "training_args.bin").unlink(missing_ok=True)
        manifest = artifacts.publish(folder, {"step": int(state.global_step)})
        relative = folder.relative_to(self.task.tune_folder).as_posix()
        self.kept = [one for one in self.kept if one.step < state.global_step]
        size = self.ranks.size
        self.kept.append(Checkpoint(int(state.global_step), relative, manifest.digest, self.format, size))
        surplus, self.kept = self.kept[: -self.limit], self.kept[-self.limit :]
        # Told before anything is removed: a checkpoint that state names must exist.
        self.reporter.send(CheckpointWritten(self.task.address, tuple(self.kept)))
        for one in surplus:
            path = Path(self.task.tune_folder) / one.folder
            if path.parent == Path(args.output_dir):
                artifacts.remove(path)
