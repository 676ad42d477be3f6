"""`[train.NAME.checkpoints]`: what can be continued from after an interruption or for a longer run."""

from __future__ import annotations

from planner.effects import Effect, setting
from planner.limits import positive
from state.values import frozen


@frozen
class Checkpoints:
    """How often one is written, and how many are kept."""

    save_steps: int = setting(
        100, effect=Effect.RUNTIME, why="checkpoints do not change the weights", validator=positive
    )
    save_total_limit: int = setting(
        2, effect=Effect.RUNTIME, why="checkpoints do not change the weights", validator=positive
    )
