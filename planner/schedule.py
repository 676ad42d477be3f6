"""Learning-rate schedules as pure functions, so that a plan can tell whether a longer run would be the same run.

The formulas are those of transformers.optimization (5.23); tests compare every one with transformers itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import field

from state.values import frozen

MOST_COMPARED = 1_000_000
"""Steps beyond which schedules count as different unless they are written alike: no plan should compute for seconds."""

Multiplier: TypeAlias = Callable[..., float]
"""(run, steps already taken, arguments of the scheduler by name) -> factor on the learning rate."""


def _warming_up(run: Schedule, step: int) -> float:
    return step / max(1, run.warmup_steps)


def _progress(run: Schedule, step: int) -> float:
    """How much of what follows the warm-up is behind: 0 to 1, and more after the end."""
    return (step - run.warmup_steps) / max(1, run.total_steps - run.warmup_steps)


def _half_wave(progress: float, num_cycles: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * num_cycles * 2.0 * progress))


def _constant(_run: Schedule, _step: int) -> float:
    return 1.0


def _constant_with_warmup(run: Schedule, step: int) -> float:
    return _warming_up(run, step) if step < run.warmup_steps else 1.0


def _linear(run: Schedule, step: int) -> float:
    if step < run.warmup_steps:
        return _warming_up(run, step)
    return max(0.0, (run.total_steps - step) / max(1, run.total_steps - run.warmup_steps))


def _cosine(run: Schedule, step: int, *, num_cycles: float = 0.5) -> float:
    if step < run.warmup_steps:
        return _warming_up(run, step)
    return max(0.0, _half_wave(_progress(run, step), num_cycles))


def _cosine_with_restarts(run: Schedule, step: int, *, num_cycles: float = 1) -> float:
    if step < run.warmup_steps:
        return _warming_up(run, step)
    progress = _progress(run, step)
    if progress >= 1.0:
        return 0.0
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((num_cycles * progress) % 1.0))))


def _above(lowest: float, factor: float) -> float:
    return factor * (1 - lowest) + lowest


def _lowest(run: Schedule, min_lr: float | None, min_lr_rate: float | None) -> float:
    return (min_lr_rate or 0.0) if min_lr is None else min_lr / run.learning_rate


def _cosine_with_min_lr(
    run: Schedule,
    step: int,
    *,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    num_cycles: float = 0.5,
) -> float:
    if step < run.warmup_steps:
        return _warming_up(run, step)
    return max(0, _above(_lowest(run, min_lr, min_lr_rate), _half_wave(_progress(run, step), num_cycles)))


def _cosine_warmup_with_min_lr(
    run: Schedule,
    step: int,
    *,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
    num_cycles: float = 0.5,
) -> float:
    if step < run.warmup_steps:
        if warmup_lr_rate is None:
            return (step + 1.0) / max(1, run.warmup_steps)
        return warmup_lr_rate + (1.0 - warmup_lr_rate) * step / max(1, run.warmup_steps - 1)
    progress = (step - run.warmup_steps + 1.0) / max(1, run.total_steps - run.warmup_steps)
    return max(0, _above(_lowest(run, min_lr, min_lr_rate), _half_wave(progress, num_cycles)))


def _inverse_sqrt(run: Schedule, step: int, *, timescale: int | None = None) -> float:
    if step < run.warmup_steps:
        return _warming_up(run, step)
    scale = timescale or run.warmup_steps or 10_000
    return 1.0 / math.sqrt((step + scale - run.warmup_steps) / scale)


def _polynomial(run: Schedule, step: int, *, power: float = 1.0, lr_end: float = 1e-7) -> float:
    if step < run.warmup_steps:
        return _warming_up(run, step)
    if step > run.total_steps:
        return lr_end / run.learning_rate
    remaining: float = 1 - _progress(run, step)
    decay: float = (run.learning_rate - lr_end) * remaining**power + lr_end
    return decay / run.learning_rate


def _warmup_stable_decay(  # noqa: PLR0913  they are transformers' own
    run: Schedule,
    step: int,
    *,
    num_decay_steps: int = 1,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
) -> float:
    stable = run.total_steps - run.warmup_steps - num_decay_steps if num_stable_steps is None else num_stable_steps
    decays_from = run.warmup_steps + stable
    if step < run.warmup_steps:
        return max(0.0, _above(min_lr_ratio, _RISES[warmup_type](_warming_up(run, step))))
    if step < decays_from:
        return 1.0
    if step < decays_from + num_decay_steps:
        progress = (step - run.warmup_steps - stable) / max(1, num_decay_steps)
        fallen = _half_wave(progress, num_cycles) if decay_type == "cosine" else _FALLS[decay_type](progress)
        return max(0.0, _above(min_lr_ratio, fallen))
    return min_lr_ratio


_RISES: dict[str, Callable[[float], float]] = {
    "linear": lambda progress: progress,
    "cosine": lambda progress: 0.5 * (1.0 - math.cos(math.pi * progress)),
    "1-sqrt": lambda progress: 1.0 - math.sqrt(1.0 - progress),
}
_FALLS: dict[str, Callable[[float], float]] = {
    "linear": lambda progress: 1.0 - progress,
    "1-sqrt": lambda progress: 1.0 - math.sqrt(progress),
}

SCHEDULERS: dict[str, Multiplier] = {
    "constant": _constant,
    "constant_with_warmup": _constant_with_warmup,
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "cosine_warmup_with_min_lr": _cosine_warmup_with_min_lr,
    "cosine_with_restarts": _cosine_with_restarts,
    "inverse_sqrt": _inverse_sqrt,
    "polynomial": _polynomial,
    "warmup_stable_decay": _warmup_stable_decay,
}


def accepted_arguments(scheduler: str) -> tuple[str, ...]:
    """The names of the arguments of a scheduler: those that transformers' function of the same name has."""
    names: Mapping[str, object] = SCHEDULERS[scheduler].__kwdefaults__ or {}
    return tuple(names)


@frozen
class Schedule:
    """The learning rate of every optimizer step of one run."""

    scheduler: str
    learning_rate: float
    warmup_steps: int
    total_steps: int
    arguments: Mapping[str, Any] = field(factory=dict)
    """Of the scheduler, by name; those that are left out are as transformers has them."""

    def at(self, step: int) -> float:
        """The learning rate used by the optimizer step after `step` steps have been taken."""
        return self.learning_rate * self.factor(step)

    def factor(self, step: int) -> float:
        """That learning rate as a multiple of the highest one."""
        return SCHEDULERS[self.scheduler](self, step, **self.arguments)


def first_difference(before: Schedule, after: Schedule, steps: int) -> int | None:
    """The first of the given number of steps, counted from 0, whose learning rates differ; None if none does."""
    if before == after:
        return None
    return next((step for step in range(steps) if before.at(step) != after.at(step)), None)


def are_one(before: Schedule, after: Schedule, steps: int) -> bool:
    """Whether two schedules are of one length, and the same to the last bit for all of the given number of steps.

    Factors are compared, because not everything in a model need learn at the same rate.
    """
    if before == after:
        return True
    if (before.total_steps, before.learning_rate) != (after.total_steps, after.learning_rate):
        return False
    return steps <= MOST_COMPARED and all(before.factor(step) == after.factor(step) for step in range(steps))


def total_steps(rows: int, micro_batch_size: int, accumulation: int, num_epochs: float, max_steps: int) -> int:
    """Optimizer steps of a run, as transformers.Trainer counts them on one process; max_steps > 0 wins over epochs."""
    if max_steps > 0:
        return max_steps
    micro_batches = math.ceil(rows / micro_batch_size)
    steps_per_epoch = max(1, micro_batches // accumulation + (micro_batches % accumulation > 0))
    return math.ceil(num_epochs * steps_per_epoch)
