"""What happens around a trainer's steps: progress is told, checkpoints are completed, a wish to stop is heeded."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from executor.events import CheckpointWritten
from executor.task import Task
from executor.worker_reports import Reporter
from state import artifacts
from state.diagnostic import problem
from state.record import Checkpoint


@frozen
class Callbacks:
    """The callbacks of one run."""

    rules: Any
    stopping: Any
    checkpointing: Any
    progress: Any

    @property
    def all(self) -> tuple[Any, ...]:
        """In the order in which the trainer must call them."""
        return (self.rules, self.stopping, self.checkpointing, self.progress)


def callbacks(task: Task, reporter: Reporter, settings: Mapping[str, Any], total: int) -> Callbacks:
    """The callbacks of one run, as subclasses of transformers' own class, which must not be imported before."""
    from transformers import TrainerCallback

    def make(cls: type, *arguments: object) -> Any:  # noqa: ANN401
        return type(cls.__name__, (cls, TrainerCallback), {})(*arguments)

    return Callbacks(
        rules=make(RecipeRules),
        stopping=make(Stopping),
        checkpointing=make(Checkpointing, task, reporter, settings["checkpoints"]["save_total_limit"]),
        progress=make(Telling, reporter, total, task.one("tokens").facts.get("tokens", 0)),
    )


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
        scheduler.base_lrs = [args.learning_rate] * len(scheduler.base_lrs)
        for group, multiplier in zip(optimizer.param_groups, scheduler.lr_lambdas, strict=True):
            group["initial_lr"] = args.learning_rate
            group["lr"] = args.learning_rate * multiplier(scheduler.last_epoch)
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]  # noqa: SLF001  what torch itself resumes with


class Stopping:
    """Turns SIGTERM into a checkpoint after the step in progress, and an end."""

    def __init__(self) -> None:
        """Nothing asked yet."""
        self.asked = False
        self.stopped_at: int | None = None

    def on_train_begin(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """From here on there is something worth saving."""
        signal.signal(signal.SIGTERM, self._ask)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Save and end, if asked and if this was not the last step anyway."""
        if self.asked and state.global_step < state.max_steps:
            self.stopped_at = int(state.global_step)
            control.should_save = True
            control.should_training_stop = True

    def _ask(self, *_: object) -> None:
        self.asked = True


class Checkpointing:
    """Completes what the trainer saved: bytes on the disk, manifest last, then rotation, then the news."""

    def __init__(self, task: Task, reporter: Reporter, limit: int) -> None:
        """Start from the checkpoints that the run continues."""
        self.task = task
        self.reporter = reporter
        self.limit = limit
        self.kept = list(task.earlier)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Have the loss logged before every save: a run whose loss is no number must leave no checkpoint of it."""
        control.should_log = control.should_log or control.should_save

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Called by the trainer when all its files are written."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        # A pickle that nothing reads when it resumes; what may be shared holds none that would have to be trusted.
        (folder / "training_args.bin").unlink(missing_ok=True)
        manifest = artifacts.publish(folder, {"step": int(state.global_step)})
        relative = folder.relative_to(self.task.tune_folder).as_posix()
        self.kept = [one for one in self.kept if one.step < state.global_step]
        self.kept.append(Checkpoint(int(state.global_step), relative, manifest.digest))
        surplus, self.kept = self.kept[: -self.limit], self.kept[-self.limit :]
        # Told before anything is removed: a checkpoint that state names must exist.
        self.reporter.send(CheckpointWritten(self.task.address, tuple(self.kept)))
        for one in surplus:
            path = Path(self.task.tune_folder) / one.folder
            if path.parent == Path(args.output_dir):
                artifacts.remove(path)


@define(eq=False)
class Telling:
    """Tells how far the run is and what it logs, and ends it when the loss is no number."""

    reporter: Reporter
    total: int
    tokens: int
    """Of one epoch."""
    values: dict[str, float] = field(factory=dict)
    _began: float = 0.0
    _first: int = 0
    _mark: tuple[float, float] = (0.0, 0.0)
    """Time and epoch of the last figures."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Start the clock."""
        self._began = time.monotonic()
        self._first = state.global_step
        self._mark = (self._began, state.epoch or 0.0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """One more step is done."""
        done = state.global_step - self._first
        seconds = time.monotonic() - self._began
        left = (self.total - state.global_step) * seconds / done if done else None
        self.reporter.progress(state.global_step, self.total, "steps", self.values, left)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401, ARG002
        """The trainer has new figures."""
        figures = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        for name in ("loss", "learning_rate", "grad_norm", "epoch", "eval_loss"):
            if name in figures:
                self.values[name] = figures[name]
        if not math.isfinite(figures.get("loss", 0.0)):
            detail = f"The loss is {figures['loss']} at step {state.global_step}."
            hint = "Lower `learning_rate`, or set `max_grad_norm` = 1.0."
            raise problem("Loss is not a number", detail, hint)
        if "loss" in figures:
            self._rate(state.epoch)

    def last_loss(self) -> dict[str, float]:
        """The last loss that was logged."""
        return {"loss": round(self.values["loss"], 6)} if "loss" in self.values else {}

    def _rate(self, epoch: float) -> None:
        """Tokens per second since the last figures; TRL's own count is too low for packed rows."""
        now = time.monotonic()
        then, before = self._mark
        self.values["tokens_per_second"] = round((epoch - before) * self.tokens / (now - then), 1)
        self._mark = (now, epoch)
