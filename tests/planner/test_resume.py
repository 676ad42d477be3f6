"""The one rule of legal resume, as a table: continue only where the desired run would have been at that point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.reason import NoCheckpoint, OtherLayout, ScheduleDiffers
from planner.resume import Continuation, Layout, continuation
from planner.schedule import SCHEDULERS, Schedule
from state.record import Checkpoint


def constant(total: int, rate: float = 1.0) -> Schedule:
    return Schedule("constant", rate, 0, total)


def linear(total: int, warmup: int = 0) -> Schedule:
    return Schedule("linear", 1.0, warmup, total)


def checkpoints(*steps: int) -> list[Checkpoint]:
    return [Checkpoint(step, f"checkpoint-{step}", str(step)) for step in steps]


@pytest.mark.parametrize(
    ("steps", "before", "after", "chosen"),
    [
        ((2, 4), constant(4), constant(8), 4),
        ((4, 2), constant(4), constant(8), 4),
        ((2, 4), constant(4), constant(4), 4),
        ((2, 4), constant(4), constant(3), 2),
        ((2, 4), constant(4), constant(2), 2),
        ((2, 4), linear(4), linear(4), 4),
        ((2, 3), linear(8), linear(8), 3),
        ((1, 4, 5, 6), linear(6, warmup=4), linear(12, warmup=4), 4),
        ((1, 3, 5, 6), linear(6, warmup=4), linear(12, warmup=4), 3),
    ],
    ids=[
        "longer, constant",
        "in whatever order they are listed",
        "the same length",
        "shorter takes an earlier one",
        "shorter ends at one",
        "the same decay, finished",
        "the same decay, interrupted",
        "longer, decaying only after warm-up: the first step after it is the peak in both",
        "longer, decaying: the newest within warm-up",
    ],
)
def test_the_newest_checkpoint_that_the_desired_run_would_pass_is_continued(
    steps: tuple[int, ...], before: Schedule, after: Schedule, chosen: int
) -> None:
    (expected,) = checkpoints(chosen)
    assert continuation(checkpoints(*steps), before, after) == Continuation(expected)


@pytest.mark.parametrize(
    ("steps", "before", "after", "refusal"),
    [
        ((), constant(4), constant(8), NoCheckpoint()),
        ((3, 4), constant(4), constant(2), NoCheckpoint()),
        ((1, 2), linear(4), linear(8), ScheduleDiffers(2, 0.75, 0.875)),
        ((1, 4), linear(4), linear(2), ScheduleDiffers(2, 0.75, 0.5)),
        ((5, 6), linear(6, warmup=4), linear(12, warmup=4), ScheduleDiffers(6, 0.5, 0.875)),
        ((1, 2), constant(4), constant(8, rate=0.5), ScheduleDiffers(1, 1.0, 0.5)),
    ],
    ids=[
        "there is none",
        "all are beyond the new end",
        "the first step after the first would differ",
        "a shorter decay",
        "all are past the end of what is the same",
        "another learning rate from the start",
    ],
)
def test_without_such_a_checkpoint_the_reason_is_told(
    steps: tuple[int, ...], before: Schedule, after: Schedule, refusal: NoCheckpoint | ScheduleDiffers
) -> None:
    assert continuation(checkpoints(*steps), before, after) == Continuation(None, (refusal,))


def test_the_learning_rate_of_the_first_step_after_the_checkpoint_counts() -> None:
    before, after = linear(6, warmup=4), linear(12, warmup=4)
    assert [before.at(step) == after.at(step) for step in (3, 4, 5)] == [True, True, False]
    assert continuation(checkpoints(4), before, after).checkpoint is not None
    assert continuation(checkpoints(5), before, after).checkpoint is None


def test_a_checkpoint_at_the_very_end_needs_no_step_after_it() -> None:
    assert linear(2).at(1) == linear(2).at(1)
    assert continuation(checkpoints(2), constant(8), constant(2)).checkpoint == checkpoints(2)[0]


SCHEDULES = st.builds(
    Schedule, st.sampled_from(sorted(SCHEDULERS)), st.sampled_from([1.0, 0.5]), st.integers(0, 4), st.integers(1, 10)
)


@given(st.sets(st.integers(1, 10), max_size=4), SCHEDULES, SCHEDULES)
def test_what_is_chosen_is_legal_and_nothing_newer_would_be(steps: set[int], before: Schedule, after: Schedule) -> None:
    def legal(step: int) -> bool:
        used = range(min(step + 1, after.total_steps))
        return step <= after.total_steps and all(before.at(one) == after.at(one) for one in used)

    found = continuation(checkpoints(*steps), before, after)
    allowed = [step for step in steps if legal(step)]
    assert (found.checkpoint.step if found.checkpoint else None) == max(allowed, default=None)
    assert bool(found.refusals) == (found.checkpoint is None)


@pytest.mark.parametrize(
    ("layout", "chosen"),
    [
        (Layout("zero-2", 4), 8),
        (Layout("zero-2"), 8),
        (Layout("torch"), 6),
        (Layout("fsdp-sharded"), 2),
    ],
)
def test_a_checkpoint_is_continued_by_a_run_that_can_read_it(layout: Layout, chosen: int) -> None:
    written = [
        Checkpoint(2, "", "", "fsdp-sharded", 2),
        Checkpoint(4, "", "", "zero-3", 4),
        Checkpoint(6, "", "", "torch", 8),
        Checkpoint(8, "", "", "zero-2", 4),
    ]
    found = continuation(written, constant(10), constant(10), layout).checkpoint
    assert found is not None
    assert found.step == chosen


@pytest.mark.parametrize(
    ("layout", "after"),
    [
        (Layout("zero-2", 2), "zero-2 on 2 processes"),
        (Layout("zero-3", 4), "zero-3 on 4 processes"),
        (Layout("zero-2-offload", 1), "zero-2-offload on 1 process"),
        (Layout(), "torch"),
    ],
)
def test_a_checkpoint_of_another_strategy_or_world_size_is_refused_by_name(layout: Layout, after: str) -> None:
    written = [Checkpoint(step, "", "", "zero-2", 4) for step in (2, 4)]
    expected = Continuation(None, (OtherLayout(4, "zero-2 on 4 processes", after),))
    assert continuation(written, constant(10), constant(10), layout) == expected
