"""Trackers that a run reports to: what they need, and what they are told before they start.

Secrets are theirs: W&B, MLflow and trackio read their keys from the environment, and nothing here ever does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from executor.workers.task import Task

LIBRARIES = {
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
}
"""Packages of which each tracker needs one."""
_PROJECTS = {"wandb": "WANDB_PROJECT", "mlflow": "MLFLOW_EXPERIMENT_NAME"}
FOLDER = "tensorboard"
"""Where TensorBoard's files go below `.tune/`, one folder for each run."""


def tracker_arguments(task: Task, logging: Mapping[str, Any]) -> dict[str, Any]:
    """What a trainer's configuration says of the trackers."""
    project = {"project": logging["project"]} if logging["project"] else {}
    return {"report_to": list(logging["report_to"]) or "none", "run_name": _run_name(task, logging), **project}


def set_environment(task: Task, logging: Mapping[str, Any]) -> None:
    """Tell trackers what transformers' integrations read from the environment of the worker only."""
    for tracker, variable in _PROJECTS.items():
        if tracker in logging["report_to"] and logging["project"]:
            os.environ[variable] = logging["project"]
    # A worker's own folder is gone when it ends, and with it what trackers would write where they are started.
    places = {
        "tensorboard": ("TENSORBOARD_LOGGING_DIR", f"{task.tune_folder}/{FOLDER}/{_run_name(task, logging)}"),
        "wandb": ("WANDB_DIR", task.tune_folder),
        "mlflow": ("MLFLOW_TRACKING_URI", f"sqlite:///{task.tune_folder}/mlflow.db"),
    }
    for tracker, (variable, place) in places.items():
        if tracker in logging["report_to"]:
            os.environ.setdefault(variable, place)


def _run_name(task: Task, logging: Mapping[str, Any]) -> str:
    return str(logging["run_name"]) or task.address
