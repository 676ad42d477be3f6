"""The arguments of schedulers: which scheduler takes which, which it needs, and what is left out."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from executor.training.run_schedule import taken
from executor.training.scheduler_arguments import SchedulerArguments, faults, resolved
from executor.training.stage import Stage
from planner.effects import fields
from planner.schedule import SCHEDULERS, accepted_arguments

KNOWN = {field.name for field in attrs.fields(SchedulerArguments)}


def test_every_argument_of_every_scheduler_is_a_field_and_every_field_an_argument() -> None:
    assert {name for scheduler in SCHEDULERS for name in accepted_arguments(scheduler)} == KNOWN
    assert set(fields(Stage)["lr_scheduler"].type.__args__) == SCHEDULERS.keys()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("scheduler", "arguments", "told"),
    [
        ("cosine", {}, []),
        ("cosine", {"num_cycles": 1.5}, []),
        (
            "cosine",
            {"min_lr": 1e-5},
            [("min_lr", 'the scheduler "cosine" has no such argument', "It takes num_cycles.")],
        ),
        ("linear", {"power": 2.0}, [("power", 'the scheduler "linear" has no such argument', "It takes none.")]),
        ("cosine_with_min_lr", {"min_lr_rate": 0.1}, []),
        (
            "cosine_with_min_lr",
            {"min_lr": 1e-3},
            [("min_lr", "the learning rate would not fall", "`learning_rate` is 0.0002.")],
        ),
        ("warmup_stable_decay", {"num_decay_steps": 10}, []),
    ],
)
def test_what_is_wrong_is_told_at_the_argument(
    scheduler: str, arguments: Any, told: list[tuple[str, str, str]]
) -> None:
    found = list(faults(scheduler, SchedulerArguments(**arguments), 2e-4))
    assert found == [(f"lr_scheduler_kwargs.{name}", detail, hint) for name, detail, hint in told]


@pytest.mark.parametrize(
    ("scheduler", "arguments", "needed"),
    [
        ("cosine_with_min_lr", {}, "needs one of `min_lr` and `min_lr_rate`"),
        ("cosine_warmup_with_min_lr", {"min_lr": 1e-5, "min_lr_rate": 0.1}, "needs one of `min_lr` and `min_lr_rate`"),
        ("warmup_stable_decay", {}, "needs `num_decay_steps`"),
    ],
)
def test_what_is_needed_is_asked_for(scheduler: str, arguments: Any, needed: str) -> None:
    ((path, detail, hint),) = faults(scheduler, SchedulerArguments(**arguments), 2e-4)
    assert (path, detail) == ("lr_scheduler_kwargs", f'the scheduler "{scheduler}" {needed}')
    assert hint


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_defaults_written_out_change_nothing(scheduler: str) -> None:
    found = resolved(scheduler, SchedulerArguments())
    assert resolved(scheduler, found) == found
    assert set(taken(scheduler, attrs.asdict(found))) <= set(accepted_arguments(scheduler))
    assert all(
        value is None for name, value in attrs.asdict(found).items() if name not in accepted_arguments(scheduler)
    )
