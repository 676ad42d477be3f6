"""Learning-rate schedules as pure functions, so that a plan can tell whether a longer run would be the same run.

The formulas are those of transformers.optimization (5.23); tests compare every one with transformers itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

Multiplier: TypeAlias = Callable[[int, int, int], float]
"""(steps already taken, warm-up steps, total steps) -> factor on the learning rate."""


def _constant(_step: int, _warmup: int, _total: int) -> float:
    return 1.0


def _constant_with_warmup(step: int, warmup: int, _total: int) -> float:
    return step / max(1.0, warmup) if step < warmup else 1.0


def _linear(step: int, warmup: int, total: int) -> float:
    if step < warmup:
        return step / max(1, warmup)
    return max(0.0, (total - step) / max(1, total - warmup))


def _cosine(step: int, warmup: int, total: int) -> float:
    if step < warmup:
        return step / max(1, warmup)
    progress = (step - warmup) / max(1, total - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * 0.5 * 2.0 * progress)))


def _cosine_with_restarts(step: int, warmup: int, total: int) -> float:
    if step < warmup:
        return step / max(1, warmup)
    progress = (step - warmup) / max(1, total - warmup)
    return 0.0 if progress >= 1.0 else max(0.0, 0.5 * (1.0 + math.cos(math.pi * (progress % 1.0))))


def _inverse_sqrt(step: int, warmup: int, _total: int) -> float:
    if step < warmup:
        return step / max(1, warmup)
    timescale = warmup or 10_000
    return 1.0 / math.sqrt((step + timescale - warmup) / timescale)


SCHEDULERS: dict[str, Multiplier] = {
    "constant": _constant,
    "constant_with_warmup": _constant_with_warmup,
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "inverse_sqrt": _inverse_sqrt,
}


@frozen
class Schedule:
    """The learning rate of every optimizer step of one run."""

    scheduler: str
    learning_rate: float
    warmup_steps: int
    total_steps: int

    def at(self, step: int) -> float:
        """The learning rate used by the optimizer step after `step` steps have been taken."""
        return self.learning_rate * SCHEDULERS[self.scheduler](step, self.warmup_steps, self.total_steps)


def first_difference(before: Schedule, after: Schedule, steps: int) -> int | None:
    """The first of the given number of steps, counted from 0, whose learning rates differ; None if none does."""
    return next((step for step in range(steps) if before.at(step) != after.at(step)), None)


def total_steps(rows: int, micro_batch_size: int, accumulation: int, num_epochs: float, max_steps: int) -> int:
    """Optimizer steps of a run, as transformers.Trainer counts them on one process; max_steps > 0 wins over epochs."""
    if max_steps > 0:
        return max_steps
    micro_batches = math.ceil(rows / micro_batch_size)
    steps_per_epoch = max(1, micro_batches // accumulation + (micro_batches % accumulation > 0))
    return math.ceil(num_epochs * steps_per_epoch)
