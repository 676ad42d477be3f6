"""`[train.NAME.guards]`: when a run that learns nothing is ended, and when somebody is warned."""

from __future__ import annotations

from planner.effects import Effect, setting
from planner.limits import not_negative, positive
from state.values import frozen

_WATCHES = "it ends a run or warns, and changes no step"


@frozen
class Guards:
    """Each is off at 0. A loss that is no number always ends the run."""

    loss_watchdog_threshold: float = setting(0.0, effect=Effect.RUNTIME, why=_WATCHES, validator=not_negative)
    """Ends the run when the loss has been above this `loss_watchdog_patience` times in a row."""
    loss_watchdog_patience: int = setting(3, effect=Effect.RUNTIME, why=_WATCHES, validator=positive)
    exploding_loss: float = setting(4.0, effect=Effect.RUNTIME, why=_WATCHES, validator=not_negative)
    """Warns when the mean loss of 20 rows is so many times the lowest before, and more than 1 above it."""
    flat_loss_steps: int = setting(200, effect=Effect.RUNTIME, why=_WATCHES, validator=not_negative)
    """Warns when the loss is after so many steps where it began, within 1 %."""
    clipped_steps: int = setting(100, effect=Effect.RUNTIME, why=_WATCHES, validator=not_negative)
    """Warns when the gradients of so many steps in a row were all cut to `max_grad_norm`."""
    equal_rewards_steps: int = setting(20, effect=Effect.RUNTIME, why=_WATCHES, validator=not_negative)
    """Warns when in so many steps in a row all completions of each prompt got the same reward."""
    cut_completions_steps: int = setting(20, effect=Effect.RUNTIME, why=_WATCHES, validator=not_negative)
    """Warns when in so many steps in a row every completion was cut off at `max_completion_length`."""
