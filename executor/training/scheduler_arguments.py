"""`[train.NAME.lr_scheduler_kwargs]`: what shapes a learning-rate schedule, under the names that transformers has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from planner.effects import Effect, setting
from planner.limits import not_negative, positive
from planner.schedule import SCHEDULERS, accepted_arguments
from state.values import frozen

TABLE = "lr_scheduler_kwargs"
SHAPE = "every optimizer step depends on it"
END = "the decay begins at another step"
Curve = Literal["linear", "cosine", "1-sqrt"]


@frozen
class SchedulerArguments:
    """Arguments of the schedulers; each takes some, and what is left out is as transformers has it."""

    num_cycles: float | None = setting(None, effect=Effect.REBUILD, why=SHAPE, validator=positive)
    """Waves of a cosine, 0.5 for one fall; restarts for `cosine_with_restarts`."""
    min_lr: float | None = setting(None, effect=Effect.REBUILD, why=SHAPE, validator=not_negative)
    """Where the decay ends, as a learning rate."""
    min_lr_rate: float | None = setting(None, effect=Effect.REBUILD, why=SHAPE, validator=not_negative)
    """Where the decay ends, as a share of `learning_rate`."""
    warmup_lr_rate: float | None = setting(None, effect=Effect.REBUILD, why=SHAPE, validator=not_negative)
    """Where the warm-up begins, as a share of `learning_rate`."""
    power: float | None = setting(None, effect=Effect.REBUILD, why=SHAPE, validator=positive)
    lr_end: float | None = setting(None, effect=Effect.REBUILD, why=SHAPE, validator=not_negative)
    """Where a polynomial decay ends, as a learning rate."""
    timescale: int | None = setting(None, effect=Effect.REBUILD, why=SHAPE, validator=positive)
    """Of `inverse_sqrt`; the length of the warm-up if left out."""
    num_decay_steps: int | None = setting(None, effect=Effect.LENGTH, why=END, validator=positive)
    num_stable_steps: int | None = setting(None, effect=Effect.LENGTH, why=END, validator=not_negative)
    """If left out, all steps between warm-up and decay."""
    warmup_type: Curve | None = setting(None, effect=Effect.REBUILD, why=SHAPE)
    decay_type: Curve | None = setting(None, effect=Effect.REBUILD, why=SHAPE)
    min_lr_ratio: float | None = setting(None, effect=Effect.REBUILD, why=SHAPE, validator=not_negative)
    """Where `warmup_stable_decay` begins and ends, as a share of `learning_rate`."""


def faults(scheduler: str, arguments: SchedulerArguments, learning_rate: float) -> Iterator[tuple[str, str, str]]:
    """What is wrong with the arguments of a scheduler: path, detail and hint of each."""
    accepted = accepted_arguments(scheduler)
    given = {name for name, value in attrs.asdict(arguments).items() if value is not None}
    for name in sorted(given - set(accepted)):
        takes = f"It takes {', '.join(accepted)}." if accepted else "It takes none."
        yield f"{TABLE}.{name}", f'the scheduler "{scheduler}" has no such argument', takes
    if "min_lr" in accepted and len(given & {"min_lr", "min_lr_rate"}) != 1:
        hint = "`min_lr` is a learning rate, `min_lr_rate` a share of `learning_rate`."
        yield TABLE, f'the scheduler "{scheduler}" needs one of `min_lr` and `min_lr_rate`', hint
    if "num_decay_steps" in accepted and "num_decay_steps" not in given:
        hint = "It is how many steps the learning rate falls at the end: about a tenth of all steps is usual."
        yield TABLE, f'the scheduler "{scheduler}" needs `num_decay_steps`', hint
    for name in sorted(given & {"min_lr", "lr_end"}):
        if getattr(arguments, name) >= learning_rate:
            yield f"{TABLE}.{name}", "the learning rate would not fall", f"`learning_rate` is {learning_rate:g}."


def resolved(scheduler: str, arguments: SchedulerArguments) -> SchedulerArguments:
    """The arguments with the scheduler's defaults written out, so that spelling one out changes nothing."""
    defaults: Mapping[str, Any] = SCHEDULERS[scheduler].__kwdefaults__ or {}
    return attrs.evolve(
        arguments, **{name: value for name, value in defaults.items() if getattr(arguments, name) is None}
    )
