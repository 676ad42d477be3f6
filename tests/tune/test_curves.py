"""The curves of a run: on terminals of any width, with and without colours, and as a page that needs nothing else."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console

from executor.evaluation.curves import Curve, metrics_of, panels, thinned
from executor.evaluation.metrics_file import NAME, MetricsFile, read
from state.diagnostic import ProblemError
from state.layout import Layout
from state.lookup import Found
from state.record import EMPTY, Record, Status
from tune.views.curves import print_curves
from tune.views.run_report import run_report

ROWS: list[dict[str, Any]] = [
    {"step": 1, "loss": 4.0, "learning_rate": 0.0, "grad_norm": 1.0},
    {"step": 2, "loss": 2.0, "learning_rate": 0.001, "grad_norm": None, "eval_loss": 3.0},
    {"step": 3, "loss": 1.0, "learning_rate": 0.001, "grad_norm": 1.0},
    {"step": 4, "loss": 1.5, "learning_rate": 0.0, "grad_norm": 1.0, "eval_loss": 2.5},
]
RECORD = Record("train", {"description": "<script>alert(1)</script>"}, {}, {}, 1, "key", Status.READY)


SAMPLES = [{"step": 4, "prompt": "<img src=x>", "answer": "a\nb", "reference": "c"}]


def drawn(width: int, *, colours: bool = False) -> str:
    out = io.StringIO()
    system: Any = "standard" if colours else None
    print_curves(Console(file=out, width=width, color_system=system, force_terminal=colours), panels(ROWS))
    return out.getvalue()


def test_curves_on_a_narrow_terminal() -> None:
    assert drawn(40).split("\n\n")[0] == (
        "             Loss   ⠒⠒ train   o eval\n"
        "          4 │⠑⡄\n"
        "            │ ⠈⢢\n"
        "            │   ⠑⢄\n"
        "            │    ⠈⠢⡀  o\n"
        "            │      ⠘⢄                  o\n"
        "            │        ⠣⡀\n"
        "            │         ⠈⠑⢄⡀\n"
        "            │            ⠈⠒⢄⡀       ⣀⡠⠤⠒\n"
        "          1 │               ⠈⠢⢄⡠⠤⠒⠊⠉\n"
        "            └───────────────────────────\n"
        "             step 1                    4"
    )


@pytest.mark.parametrize("width", [40, 80, 149, 150, 200])
def test_curves_fit_into_the_terminal(width: int) -> None:
    lines = drawn(width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert any("Loss" in line and "Learning rate" in line for line in lines) is (width >= 150)


def test_colours_carry_no_meaning() -> None:
    coloured = drawn(80, colours=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == drawn(80)


def test_many_points_become_few_that_keep_every_peak() -> None:
    points = [(step, float(step == 5_000)) for step in range(1, 10_001)]
    kept = thinned(points, (1, 10_000), 100)
    assert len(kept) <= 200
    assert (5_000, 1.0) in kept
    assert kept == sorted(kept)


def test_what_is_no_number_is_not_drawn() -> None:
    loss, _, norm = panels(ROWS)
    assert [curve.name for curve in loss.curves] == ["train", "eval"]
    assert norm.curves == (Curve("gradient norm", ((1, 1.0), (3, 1.0), (4, 1.0))),)
    assert panels([{"step": 1, "loss": None}]) == ()


def test_what_a_method_measures_beside_its_loss_is_drawn() -> None:
    drawn = panels([{"step": 1, "loss": 0.0, "reward": 0.5, "eval_reward": 0.25, "kl": 0.1, "unknown": 1.0}])
    assert [(one.title, [curve.name for curve in one.curves]) for one in drawn] == [
        ("Loss", ["train"]),
        ("Reward", ["train", "eval"]),
        ("KL divergence", ["train"]),
    ]


def test_a_page_needs_nothing_else_and_runs_nothing() -> None:
    page = run_report(Found('train.<b>"x"', RECORD, 0), EMPTY, panels(ROWS), SAMPLES)
    assert page.count("<svg") == page.count("</svg>") == 3
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "train.&lt;b&gt;" in page
    for dangerous in ("<script", "<b>", "http://", "https://", "src=", "@import", "javascript"):
        assert dangerous not in page.replace("&lt;img src=x&gt;", "")
    assert "<h2>Answers after step 4</h2>" in page
    assert "default-src 'none'" in page


def test_metrics_are_found_where_the_run_is(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with pytest.raises(ProblemError, match="no metrics of the steps of train"):
        metrics_of("train.x", RECORD, layout)
    with pytest.raises(ProblemError, match=r"eval\.x is no training run"):
        metrics_of("eval.x", evolve(RECORD, kind="eval"), layout)
    file = MetricsFile(layout.checkpoints("train", "x", "key") / NAME)
    file.continue_from(None)
    file.log(1, {"loss": 2.0})
    file.log(2, {"loss": 1.0})
    assert metrics_of("train.x", RECORD, layout) == [{"step": 1, "loss": 2.0}]
    artifact = layout.artifact("train", "x", "key")
    artifact.mkdir(parents=True)
    file.move_to(artifact)
    finished = evolve(RECORD, artifact=layout.relative(artifact))
    assert metrics_of("train.x", finished, layout) == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]


def test_what_is_told_of_a_step_later_joins_its_row(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / NAME)
    file.continue_from(None)
    file.log(1, {"loss": float("nan"), "epoch": 0.5, "eval_runtime": 3.0, "tokens_per_second": 7.0})
    file.save(tmp_path.parent)
    file.log(1, {"eval_loss": 2.0, "zeal": 1.0})
    file.save(tmp_path.parent)
    expected = {"step": 1, "epoch": 0.5, "loss": None, "eval_loss": 2.0, "zeal": 1.0, "tokens_per_second": 7.0}
    assert [list(row.items()) for row in read(tmp_path / NAME)] == [list(expected.items())]
    with (tmp_path / NAME).open("a") as other:
        other.write('{"step": 2, "lo')
    assert list(read(tmp_path / NAME)) == [expected]
    again = MetricsFile(tmp_path / "again" / NAME)
    again.continue_from(tmp_path.parent)
    again.log(2, {"loss": 1.0})
    again.save(tmp_path)
    assert [json.loads(line)["step"] for line in (tmp_path / NAME).read_text().splitlines()] == [1, 2]
