"""`[train.NAME.logging]`: where else a run's figures go, through the integrations that transformers has."""

from __future__ import annotations

from typing import Literal

from planner.effects import Effect, setting
from state.values import frozen

_LOGS = "logs do not change the weights"


@frozen
class Logging:
    """Which trackers are told, and under which names; their keys and addresses come from the environment."""

    report_to: tuple[Literal["wandb", "mlflow", "tensorboard", "trackio"], ...] = setting(
        (), effect=Effect.RUNTIME, why=_LOGS
    )
    project: str = setting("", effect=Effect.RUNTIME, why=_LOGS)
    """The project of W&B and trackio, the experiment of MLflow; "": what the tracker's own environment says."""
    run_name: str = setting("", effect=Effect.RUNTIME, why=_LOGS)
    """ "": the address."""
