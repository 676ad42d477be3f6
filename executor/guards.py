"""What ends a run that learns nothing any more, and what warns of one that may not."""

from __future__ import annotations

import math
from typing import Any

from state.diagnostic import problem


class Guarding:
    """Ends a run whose loss is no number, before a checkpoint of it is written."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401, ARG002
        """Look at the new figures."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            detail = f"The loss is {loss} at step {state.global_step}."
            hint = "Lower `learning_rate`, or set `max_grad_norm` = 1.0."
            raise problem("Loss is not a number", detail, hint)
