"""What a run says while it trains: its progress, told to whoever watches, and its metrics, kept in a file."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

from executor.evaluation.metrics_file import VOLATILE, MetricsFile
from executor.evaluation.sample_file import SampleFile
from executor.workers.usage import usage
from executor.workers.worker_reports import Reporter

USAGE_SECONDS = 1.0
TOLD = (
    *("loss", "learning_rate", "grad_norm", "epoch", "eval_loss", "reward", "eval_reward"),
    *("rewards/accuracies", "accuracy"),
)
"""What of a trainer's log is told at each step, as far as it is there."""
SUMMARY = "train_loss"
"""What a trainer logs of a whole run, when it is over; only some rows before it have no `train_runtime`."""


@define(eq=False)
class Telling:
    """Tells how far the run is and what it logs."""

    reporter: Reporter
    total: int
    tokens: int
    """Of one epoch."""
    values: dict[str, float] = field(factory=dict)
    _began: float = 0.0
    _first: int = 0
    _looked: float = -math.inf
    _mark: tuple[float, float] = (0.0, 0.0)
    """Time and epoch of the last figures."""
    _left: float | None = None
    """Seconds, as of the last step."""
    _evaluated: int = 0
    """Batches of the evaluation in progress."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Start the clock."""
        self._began = time.monotonic()
        self._first = state.global_step
        self._mark = (self._began, state.epoch or 0.0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """One more step is done."""
        done = state.global_step - self._first
        seconds = time.monotonic() - self._began
        self._left = (self.total - state.global_step) * seconds / done if done else None
        self._look_around(args.save_steps, state.global_step)
        self.reporter.progress(state.global_step, self.total, "steps", self.values, self._left)

    def on_prediction_step(self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **_: Any) -> None:  # noqa: ANN401, ARG002
        """One more batch is evaluated; what is answered after the last one is told as answers."""
        batches = len(eval_dataloader)
        if self._evaluated < batches:
            self._evaluated += 1
            told = {**self.values, "evaluated": self._evaluated, "to_evaluate": batches}
            self.reporter.progress(state.global_step, self.total, "steps", told, self._left)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401, ARG002
        """The trainer has new figures."""
        figures = numbers(logs)
        self.values |= {name: figures[name] for name in TOLD if name in figures}
        if "loss" in figures:
            self._rate(state.epoch)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Measuring is over; the time that it took trained no token."""
        self._evaluated = 0
        self._mark = (time.monotonic(), state.epoch or 0.0)

    on_save = on_evaluate

    def _look_around(self, save_steps: float, step: int) -> None:
        """What the machine does, asked once a second at most, and when there will be a checkpoint."""
        self.values["next_checkpoint"] = min(self.total, (step // int(save_steps) + 1) * int(save_steps))
        now = time.monotonic()
        if now - self._looked >= USAGE_SECONDS:
            self._looked = now
            self.values |= usage()

    def last_loss(self) -> dict[str, float]:
        """The last loss that was logged."""
        return {"loss": round(self.values["loss"], 6)} if "loss" in self.values else {}

    def _rate(self, epoch: float) -> None:
        """Tokens per second since the last figures; TRL's own count is too low for packed rows."""
        now = time.monotonic()
        then, before = self._mark
        self.values["tokens_per_second"] = round((epoch - before) * self.tokens / (now - then), 1)
        self._mark = (now, epoch)


class Keeping:
    """Keeps what is logged, row by row, and gives each checkpoint the rows and the samples up to it."""

    def __init__(self, metrics: MetricsFile, samples: SampleFile, progress: Telling) -> None:
        """Write to a file what the trainer logs, with the figures that are known beside it."""
        self.metrics = metrics
        self.samples = samples
        self.progress = progress
        self._began = time.monotonic()

    def on_train_begin(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Start the clock."""
        self._began = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Add the new figures to the row of the step."""
        if not state.is_world_process_zero or SUMMARY in (logs or {}):
            return
        self.metrics.log(int(state.global_step), {**numbers(logs), **self._circumstances(logs)})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """The trainer has written a checkpoint."""
        if state.is_world_process_zero:
            for file in (self.metrics, self.samples):
                file.save(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def _circumstances(self, logs: Mapping[str, Any]) -> dict[str, float]:
        if "loss" not in logs:
            return {}
        names = (name for name in VOLATILE if name in self.progress.values)
        seconds = {"seconds": round(time.monotonic() - self._began, 3)}
        return {**{name: self.progress.values[name] for name in names}, **seconds}


def numbers(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """What of a trainer's log is a number."""
    found = ((name, value) for name, value in (logs or {}).items() if isinstance(value, int | float))
    return {name: float(value) for name, value in found}
