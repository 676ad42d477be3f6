"""How good and bad answers weigh, which decides what KTO learns, and nobody sees."""

from __future__ import annotations

import pytest

from executor.methods.kto import imbalance

FEW_BAD = (
    "90 good answers weigh 90 and 10 bad ones 10; its paper has 1 to 1 up to 4 to 3: "
    "set `desirable_weight` from 0.111 to 0.148, or `undesirable_weight` from 6.75 to 9"
)
FEW_GOOD = (
    "10 good answers weigh 20 and 90 bad ones 45; its paper has 1 to 1 up to 4 to 3: "
    "set `desirable_weight` from 4.5 to 6, or `undesirable_weight` from 0.167 to 0.222"
)


@pytest.mark.parametrize(
    ("good", "rows", "desirable", "undesirable", "said"),
    [
        (50, 100, 1.0, 1.0, ""),
        (57, 100, 1.0, 1.0, ""),
        (90, 100, 1.0, 1.0, FEW_BAD),
        (90, 100, 0.111, 1.0, ""),
        (90, 100, 0.148, 1.0, ""),
        (90, 100, 1.0, 6.75, ""),
        (90, 100, 1.0, 9.0, ""),
        (10, 100, 2.0, 0.5, FEW_GOOD),
        (100, 100, 1.0, 1.0, "all 100 answers are good, and the loss learns from both kinds"),
        (0, 8, 1.0, 1.0, "all 8 answers are bad, and the loss learns from both kinds"),
    ],
)
def test_answers_of_one_kind_are_not_to_outweigh_the_others(
    good: int, rows: int, desirable: float, undesirable: float, said: str
) -> None:
    assert imbalance(good, rows, desirable, undesirable) == said
