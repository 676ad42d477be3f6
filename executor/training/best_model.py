"""The weights of the best evaluation so far, kept beside the checkpoints and within each of them.

A checkpoint that holds them can be continued from on any machine, whatever became of the one that evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from executor.applying.checkpoint_uploads import link
from executor.evaluation.selection import Selection
from executor.workers.ranks import ALONE, Ranks
from executor.workers.task import Task
from state import artifacts
from state.diagnostic import problem

KEPT = Path("best") / "weights"
"""Where a checkpoint has them; one folder down they would look to PEFT like an adapter of the checkpoint itself."""


class Selecting:
    """Keeps the best model, and ends the run where evaluations have not become better for long enough."""

    def __init__(
        self, selection: Selection | None, folder: Path, save: Callable[[Path], None], ranks: Ranks = ALONE
    ) -> None:
        """Keep the best weights in a folder; `save` writes the model's weights into one, called in every process."""
        self.ranks = ranks
        self.selection = selection
        self.folder = folder
        self.save = save
        self.ended_at: int | None = None
        self._training = False

    def on_train_begin(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Evaluations from here on count."""
        self._training = True

    def on_train_end(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """What is evaluated afterwards decides nothing."""
        self._training = False

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Look at all evaluations so far."""
        if self.selection is None or not self._training:
            return
        found = self.selection.evaluations(state.log_history)
        if not found or found[-1].step != state.global_step:
            raise _not_measured(self.selection.metric, state.log_history[-1])
        best = self.selection.best(found)
        if self.selection.keeps_best and best is not None and best.step == state.global_step:
            if self.ranks.is_first:
                artifacts.remove(self.folder)
                self.folder.mkdir(parents=True)
            self.save(self.folder)
        if self.selection.ends_at(found) == state.global_step and state.global_step < state.max_steps:
            self.ended_at = int(state.global_step)
            control.should_save = True
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Let the checkpoint have the best weights too."""
        if self.ranks.is_first and self.folder.is_dir():
            _link_all(self.folder, Path(args.output_dir) / f"checkpoint-{state.global_step}" / KEPT)


def best_folder(task: Task) -> Path:
    """Where a run keeps the best weights until it is over."""
    return Path(task.checkpoints) / "best"


def take_over(checkpoint: Path | None, folder: Path) -> None:
    """Begin with the best weights of the checkpoint that a run is continued from, or without any."""
    artifacts.remove(folder)
    if checkpoint is not None and (checkpoint / KEPT).is_dir():
        _link_all(checkpoint / KEPT, folder)


def _link_all(source: Path, target: Path) -> None:
    for path in source.iterdir():
        link(path, target / path.name)


def _not_measured(metric: str, logged: dict[str, Any]) -> Exception:
    known = sorted(name.removeprefix("eval_") for name in logged if name.startswith("eval_"))
    detail = f"`metric_for_best_model` is {metric.removeprefix('eval_')}, which the evaluation does not measure."
    return problem("Metric not measured", detail, f"It measures {', '.join(known)}.")
