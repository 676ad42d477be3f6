"""How far a run is, as people read it: in logs, and on terminals of any width."""

from __future__ import annotations

import pytest
from attrs import evolve

from executor.workers.events import Progress
from tune.views.progress import in_one_line, live

EVENT = Progress(
    address="train.sft",
    done=432,
    total=1_200,
    unit="steps",
    values={
        "epoch": 1.08,
        "loss": 0.43214,
        "eval_loss": 0.512,
        "learning_rate": 1.83e-4,
        "grad_norm": 0.8765,
        "tokens_per_second": 12_340.4,
        "memory_gib": 61.24,
        "memory_total_gib": 139.8,
        "gpu_utilisation": 97.0,
        "next_checkpoint": 500.0,
    },
    seconds_left=750.0,
)


def test_progress_in_a_log() -> None:
    assert in_one_line(EVENT) == (
        "steps 432/1,200, epoch 1.08, loss 0.4321, eval loss 0.512, lr 0.000183, grad norm 0.876, 12 min 30 s left, "
        "12,340 tok/s, memory 61.2 of 140 GiB, GPU 97 %, next checkpoint 500"
    )
    assert in_one_line(Progress("tokens.x", 5, 5, "rows", {}, 0.0)) == "rows 5/5"
    evaluating = Progress("train.x", 50, 90, "steps", {"loss": 0.5, "evaluated": 1_200.0, "to_evaluate": 3_000.0}, 61.0)
    assert in_one_line(evaluating) == "steps 50/90, evaluating 1,200/3,000, loss 0.5, 1 min 1 s left"
    values = {"loss": 0.5, "reward": 0.25, "eval_reward": 0.5, "rewards/accuracies": 1.0}
    assert in_one_line(evolve(evaluating, values=values)) == (
        "steps 50/90, loss 0.5, reward 0.25, eval reward 0.5, accuracy 1, 1 min 1 s left"
    )
    assert in_one_line(evolve(evaluating, values={"loss": -0.0})).endswith(", loss 0, 1 min 1 s left")


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            40,
            [
                "train.sft  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━",
                "steps 432/1,200  epoch 1.08  loss 0.4321",
                "eval loss 0.512  lr 0.000183",
                "grad norm 0.876  12 min 30 s left",
                "12,340 tok/s  memory 61.2 of 140 GiB",
                "GPU 97 %  next checkpoint 500",
            ],
        ),
        (
            80,
            [
                "train.sft  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  steps 432/1,200  epoch 1.08",
                "loss 0.4321  eval loss 0.512  lr 0.000183  grad norm 0.876  12 min 30 s left",
                "12,340 tok/s  memory 61.2 of 140 GiB  GPU 97 %  next checkpoint 500",
            ],
        ),
        (
            200,
            [
                (
                    "train.sft  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  steps 432/1,200  epoch 1.08  loss 0.4321  "
                    "eval loss 0.512  lr 0.000183  grad norm 0.876  12 min 30 s left  12,340 tok/s  "
                    "memory 61.2 of 140 GiB  GPU 97 %"
                ),
                "next checkpoint 500",
            ],
        ),
        (12, ["train.sft  ━", "steps 432/1…"]),
    ],
)
def test_progress_on_a_terminal(width: int, lines: list[str]) -> None:
    shown = live(EVENT, width).plain.split("\n")
    assert shown[: len(lines)] == lines
    assert max(map(len, shown)) <= width


@pytest.mark.parametrize("width", [1, 9, 20, 41, 79, 119])
@pytest.mark.parametrize("address", ["tokens.x", "train.a[learning_rate=0.0001,adapter.r=16,optimizer=adamw_torch]"])
def test_no_line_is_wider_than_the_terminal(width: int, address: str) -> None:
    for event in (EVENT, Progress("", 0, 0, "rows", {}, None)):
        shown = live(evolve(event, address=address), width).plain.split("\n")
        assert max(map(len, shown)) <= width
