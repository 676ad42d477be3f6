"""What is told of a step that fails: which one, where its table is, what to do, and how far it came."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.torch


def test_a_step_that_fails_is_told_at_its_table_and_shows_its_last_figures(fresh: Any) -> None:
    fresh.edit("learning_rate = 2e-3", "learning_rate = 1e8")
    done = fresh.tune("apply", "--auto-approve", "--json", "--target", "train.base", expect=1)
    recipe = (fresh.path / "recipe.toml").read_text()
    line = recipe[: recipe.index("[train.base]")].count("\n") + 1
    summary = json.loads(done.stdout.splitlines()[-1])
    rows = [json.loads(row) for one in fresh.path.rglob("metrics.jsonl") for row in one.read_text().splitlines()]
    step = rows[-1]["step"]
    detail, hint = f"The loss is nan at step {step}.", "Lower `learning_rate`, or lower `max_grad_norm`."
    assert rows[-1]["loss"] is None
    assert [row["step"] for row in rows] == list(range(1, step + 1))
    assert done.stderr.endswith(
        f"recipe.toml:{line}:1: Error: Loss is not a number [TUNE233]\n  {detail}\n  hint: {hint}\n"
    )
    assert (summary["result"], summary["failed"]) == ("failed", "train.base")
    assert summary["diagnostics"] == [
        {
            "severity": "error",
            "code": "TUNE233",
            "summary": "Loss is not a number",
            "detail": detail,
            "hint": hint,
            "place": {"file": "recipe.toml", "line": line, "column": 1},
        }
    ]
