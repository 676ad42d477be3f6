"""What a training yields that ends at a checkpoint: its weights, or the best up to it, and what was logged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from executor.evaluation.selection import chosen_facts, evaluation_at
from executor.models.tensor_files import parameter_count
from executor.training.best_model import best_folder
from executor.training.training_run import Run
from planner.resume import STOPPED_EARLY
from state.canonical import Plain

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "adapter_config.json")


def is_end(checkpoint: Path, total: int, run: Run) -> bool:
    """Whether nothing is left to train after a checkpoint: it is as long as wanted, or its run had ended early."""
    state = trainer_state(checkpoint)
    return state["global_step"] == total or STOPPED_EARLY in chosen_facts(run.settings, state["log_history"], total)


def trainer_state(checkpoint: Path) -> dict[str, Any]:
    """What the trainer wrote of itself into a checkpoint, its log included."""
    state: dict[str, Any] = json.loads((checkpoint / "trainer_state.json").read_bytes())
    return state


def end_at(checkpoint: Path, run: Run, log: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Plain], dict[str, Plain]]:
    """What a run yields that ends at a checkpoint, given all that it has logged."""
    step = int(trainer_state(checkpoint)["global_step"])
    chosen = chosen_facts(run.settings, log, run.schedule().total_steps)
    copy_weights(best_folder(run.task) if "best_step" in chosen else checkpoint, run)
    losses = [entry["loss"] for entry in log if "loss" in entry]
    metrics: dict[str, Plain] = {"steps": step}
    metrics |= {"loss": round(float(losses[-1]), 6), "train_loss": mean_loss(log)} if losses else {}
    if "best_step" in chosen:
        metrics |= evaluation_at(cast("int", chosen["best_step"]), log)
    return metrics, {"trainable_parameters": parameter_count(run.task.output_folder), **chosen}


def mean_loss(log: Sequence[Mapping[str, Any]]) -> float:
    """The loss of all steps up to the last that was logged; each entry is the mean since the one before.

    A trainer that was resumed gives the sum of the steps since then, divided by all.
    """
    summed, before = 0.0, 0
    for entry in (one for one in log if "loss" in one):
        summed += float(entry["loss"]) * (int(entry["step"]) - before)
        before = int(entry["step"])
    return round(summed / max(1, before), 6)


def copy_weights(source: Path, run: Run) -> None:
    """Make the weights in a folder what the run yields; all ranks wait for the first one to do it."""
    for pattern in WEIGHTS if run.ranks.is_first else ():
        for path in source.glob(pattern):
            shutil.copyfile(path, run.task.output_folder / path.name)
    run.ranks.wait_for_all()


def was_not_evaluated(checkpoint: Path, run: Run) -> bool:
    """Whether the evaluation after a checkpoint's step was given up for the sake of the checkpoint."""
    state = trainer_state(checkpoint)
    step = int(state["global_step"])
    due = run.settings["evaluation"] is not None and step % run.eval_steps() == 0
    begun = step >= run.settings["trainer"].get("eval_delay", 0)
    return due and begun and not evaluation_at(step, state["log_history"])
