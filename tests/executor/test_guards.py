"""What is said of losses and gradients that go wrong, and that nothing is said of those that do not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import asdict, evolve

from executor.training.guard_fields import Guards
from executor.training.guards import Guarding, Warnings
from executor.workers.worker_reports import Reporter
from state.diagnostic import ProblemError

WATCH = Warnings(
    exploding_loss=4.0,
    flat_loss_steps=50,
    clipped_steps=10,
    shares={"equal_rewards_steps": 5, "cut_completions_steps": 5},
    max_grad_norm=1.0,
    reads_loss=True,
)


def told(losses: Iterable[float], norms: Iterable[float] = (), watch: Warnings = WATCH) -> list[tuple[int, str]]:
    """What is said, and after which step."""
    watching = evolve(watch)
    rows = [{"loss": one} for one in losses] or [{"grad_norm": one} for one in norms]
    return [(step, text) for step, row in enumerate(rows, 1) for text in watching.look(step, row)]


def falling(step: int) -> float:
    return 3 * math.exp(-step / 30) + 0.5


def test_nothing_is_said_of_a_run_that_learns() -> None:
    assert told([falling(step) + 0.3 * (step % 3) for step in range(500)]) == []
    assert told([], [1.5, 0.5] * 100) == []


def test_a_loss_that_explodes_is_told_once() -> None:
    losses = [falling(step) for step in range(100)] + [10.0] * 100
    assert told(losses) == [
        (
            105,
            (
                "the loss is 2.98 at step 105 and was 0.655 before: it explodes. "
                "Lower `learning_rate`, lengthen the warm-up, or lower `max_grad_norm`."
            ),
        )
    ]


def test_a_loss_near_nothing_may_double_and_double() -> None:
    assert told([falling(step) for step in range(60)] + [0.0001] * 40 + [0.01] * 40) == []


def test_a_loss_that_stays_where_it_began_is_told_once() -> None:
    assert told([2.0 + 0.01 * (step % 2) for step in range(200)]) == [
        (
            50,
            (
                "the loss is 2 after 50 steps, where it began: nothing is learned. Raise `learning_rate`, "
                "or see with `tune preview` what is trained."
            ),
        )
    ]


def test_gradients_that_are_always_cut_are_told_once() -> None:
    assert told([], [5.0] * 9 + [0.5] + [5.0] * 30) == [
        (
            20,
            (
                "the gradients of 10 steps in a row were cut to `max_grad_norm` = 1, now from 5: their length "
                "counts no more. Lower `learning_rate`, or raise `max_grad_norm`."
            ),
        )
    ]


def test_rewards_and_completions_that_teach_nothing_are_told_once() -> None:
    """A group whose completions are rewarded alike has no advantage to learn from."""
    watching = evolve(WATCH)
    shares = [(1.0, 0.5)] * 4 + [(0.75, 1.0)] * 4 + [(1.0, 0.99)] + [(1.0, 1.0)] * 20
    rows = [{"frac_reward_zero_std": alike, "completions/clipped_ratio": cut} for alike, cut in shares]
    assert [(step, text) for step, row in enumerate(rows, 1) for text in watching.look(step, row)] == [
        (
            13,
            (
                "in 5 steps in a row all completions of a prompt got the same reward: nothing is learned. See what "
                "`reward_functions` give, raise `num_generations` or `temperature`, or take prompts that are solved "
                "sometimes."
            ),
        ),
        (
            14,
            (
                "in 5 steps in a row every completion was cut off at `max_completion_length`: what is rewarded has no "
                "end. Raise it, or start from a model that has learnt to end its answers."
            ),
        ),
    ]
    off = evolve(WATCH, shares={"equal_rewards_steps": 0, "cut_completions_steps": 0})
    assert [text for step, row in enumerate(rows, 1) for text in off.look(step, row)] == []


@pytest.mark.parametrize(
    "watch",
    [
        evolve(WATCH, exploding_loss=0.0, flat_loss_steps=0, clipped_steps=0),
        evolve(WATCH, reads_loss=False, max_grad_norm=0.0),
    ],
)
def test_what_is_switched_off_says_nothing(watch: Warnings) -> None:
    assert told([2.0] * 60 + [90.0] * 60, watch=watch) == []
    assert told([], [9.0] * 60, watch=watch) == []


def guarding(messages: list[Any], **fields: Any) -> Guarding:
    settings = {"guards": asdict(Guards(**fields)), "max_grad_norm": 1.0, "method": "sft"}
    return Guarding(settings, Reporter("train.x", messages.append))


def log(guard: Guarding, step: int, **row: float) -> None:
    guard.on_log(None, SimpleNamespace(global_step=step, is_world_process_zero=True), None, row)


def test_the_watchdog_ends_a_run_whose_loss_stays_high() -> None:
    guard = guarding([], loss_watchdog_threshold=5.0, loss_watchdog_patience=3)
    for step, loss in enumerate([6.0, 6.0, 4.0, 6.0, 6.0], 1):
        log(guard, step, loss=loss)
    log(guard, 5, eval_loss=3.0)
    with pytest.raises(ProblemError) as error:
        log(guard, 6, loss=7.0)
    (found,) = error.value.diagnostics
    assert (found.summary, found.detail) == (
        "Loss watchdog",
        "The loss is 7 at step 6, the 3rd time in a row above 5.",
    )


def test_a_resumed_run_does_not_repeat_itself() -> None:
    messages: list[Any] = []
    guard = guarding(messages, flat_loss_steps=0, clipped_steps=5)
    history = [{"step": step, "loss": 1.0, "grad_norm": 2.0} for step in range(1, 8)]
    guard.on_train_begin(None, SimpleNamespace(log_history=history), None)
    log(guard, 8, loss=1.0, grad_norm=2.0)
    assert messages == []
    assert len(guard.given()) == 1


@pytest.mark.parametrize(("method", "warned"), [("sft", True), ("grpo", False), ("rloo", False)])
def test_a_loss_that_is_about_nothing_by_its_nature_is_not_called_flat(method: str, warned: bool) -> None:  # noqa: FBT001
    """Advantages of a group have the mean 0, and so has the loss, whatever is learnt."""
    settings = {"method": method, "max_grad_norm": 0.0, "guards": asdict(Guards(flat_loss_steps=30))}
    guard = Guarding(settings, Reporter("train.it", lambda _: None))
    for step in range(1, 60):
        log(guard, step, loss=1e-7 if step % 2 else 1.0000001e-7)
    assert bool(guard.given()) is warned
