"""Batches of an evaluation: every row once, however many processes there are."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from executor.training.shared_batches import SharedBatches

COUNTS = {"rows": st.integers(1, 60), "micro": st.integers(1, 7), "processes": st.integers(1, 9)}


@pytest.mark.parametrize(
    ("rows", "micro", "processes", "batches"),
    [
        (5, 2, 1, [[0, 1], [2, 3], [4]]),
        (8, 2, 2, [[0, 1], [2, 3], [4, 5], [6, 7]]),
        (7, 2, 2, [[0, 1], [2, 3], [4], [5], [6], [6]]),
        (1, 4, 2, [[0], [0]]),
        (3, 1, 4, [[0]] * 4 + [[1]] * 4 + [[2]] * 4),
    ],
)
def test_what_is_left_is_given_to_every_process(
    rows: int, micro: int, processes: int, batches: list[list[int]]
) -> None:
    assert list(SharedBatches(range(rows), rows, micro, processes)) == batches


@pytest.mark.parametrize(
    ("prompts", "micro", "copies", "batches"),
    [
        (3, 2, 2, [[0, 0], [1, 1], [2], [2]]),
        (3, 2, 4, [[0, 0], [0, 0], [1, 1], [1, 1], [2, 2], [2, 2]]),
        (3, 6, 3, [[0, 0, 0], [1, 1, 1], [2, 2, 2], [2, 2, 2]]),
        (4, 3, 3, [[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]]),
    ],
)
def test_answers_to_a_prompt_stay_together(prompts: int, micro: int, copies: int, batches: list[list[int]]) -> None:
    asked = [prompt for prompt in range(prompts) for _ in range(copies)]
    assert list(SharedBatches(asked, prompts, micro, 2, copies)) == batches


@given(**COUNTS, copies=st.integers(1, 6), order=st.randoms())
def test_every_row_counts_once(rows: int, micro: int, processes: int, copies: int, order: object) -> None:
    assume(micro * processes % copies == 0)  # what the recipe is refused for otherwise
    sampled = list(range(rows))
    order.shuffle(sampled)  # type: ignore[attr-defined]
    shared = SharedBatches([row for row in sampled for _ in range(copies)], rows, micro, processes, copies)
    batches, counted = list(shared), Counter[int]()
    assert len(batches) == len(shared) == len(shared.shares) * processes
    for at, (size, same) in enumerate(shared.shares):
        together = batches[at * processes : (at + 1) * processes]
        assert {len(batch) for batch in together} == {size}
        assert size <= micro
        seen = [row for batch in together for row in batch]
        assert all(len(set(seen[start : start + copies])) == 1 for start in range(0, len(seen), copies))
        counted.update({row: Fraction(count, same * copies) for row, count in Counter(seen).items()})
    assert counted == dict.fromkeys(range(rows), 1)
    assert list(dict.fromkeys(row for batch in batches for row in batch)) == sampled


@pytest.mark.torch
@given(**COUNTS)
def test_accelerate_gives_each_process_what_is_meant_for_it(rows: int, micro: int, processes: int) -> None:
    from accelerate.data_loader import BatchSamplerShard

    shared = SharedBatches(range(rows), rows, micro, processes)
    found = [list(BatchSamplerShard(shared, processes, rank)) for rank in range(processes)]
    assert found == [list(shared)[rank::processes] for rank in range(processes)]
