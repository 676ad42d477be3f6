"""What is said at the end of an apply."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console

from executor.applying.apply import Result
from executor.workers.events import Message, Progress, StepEnded, StepStarted
from tests.fake_kinds import RECIPE
from tune.views.run import JsonView, LineView, LiveView


@pytest.fixture
def made(workshop: Any) -> Any:
    """Data and two things, made."""
    workshop.write(RECIPE, **{"data.txt": "one"})
    workshop.apply()
    return workshop


def said(result: Result) -> str:
    stream = io.StringIO()
    LineView(Console(file=stream, width=100, color_system=None, highlight=False)).end(result)
    return re.sub(r"in \d+\.\d s", "in 0.1 s", stream.getvalue())


def test_what_turned_out_to_be_unnecessary_is_told_with_what_it_was_worth(made: Any) -> None:
    (made.folder / "data.txt").write_text("two")
    result = evolve(made.apply(), spared={"thing.top": 5400.0})
    assert said(result) == (
        "\n"
        "Apply complete: 1 recorded, 1 rebuilt, 1 reused, in 0.1 s.\n"
        "1 step turned out to be unnecessary; the last time, it took 1 h 30 min.\n"
    )
    two = evolve(result, spared={"thing.top": 0.0, "thing.other": 0.0})
    assert said(two).endswith("2 steps turned out to be unnecessary.\n")
    assert said(evolve(result, spared={})).count("\n") == 2


def test_machines_are_told_it_too(made: Any) -> None:
    stream = io.StringIO()
    JsonView(stream).end(evolve(made.apply(), spared={"thing.top": 5.0}))
    assert '"spared": {"thing.top": 5.0}' in stream.getvalue()


def test_what_is_below_stays_until_the_step_is_over_and_holds_what_is_urgent() -> None:
    stream = io.StringIO()
    with LiveView(Console(file=stream, width=100, color_system=None, highlight=False)) as view:

        def below() -> str:
            return re.sub(r"\d+\.\d s", "0.1 s", view.below().plain)

        assert below() == ""
        view.show(StepStarted("train.sft", "build"))
        assert below() == "train.sft  starting, 0.1 s"
        view.show(Progress("train.sft", 2, 4, "steps", {"loss": 0.5}, None))
        view.show(Message("train.sft", "a word"))
        bar = "train.sft  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  steps 2/4  loss 0.5"
        assert below() == bar
        view.urgently("Interrupted.")
        assert below() == f"{bar}\nInterrupted."
        view.show(Message("train.sft", "another"))
        assert below() == bar
        view.show(StepEnded("train.sft", "interrupted", "", 1.0, {}))
        assert below() == ""
        view.urgently("The time is over.")
    assert stream.getvalue().rstrip().split("\n") == [
        *("train.sft: build ...", "train.sft: a word", "Interrupted.", "train.sft: another"),
        *("train.sft: interrupted in 1.0 s", "The time is over."),
    ]


@pytest.mark.parametrize(("is_terminal", "lines"), [(False, 1), (True, 3)])
def test_what_is_told_in_a_log_is_one_line(lines: int, *, is_terminal: bool) -> None:
    text = "train.it: steps 432/1,200, epoch 1.08, loss 0.4321, lr 0.000183, grad norm 0.876, 12 min 30 s left"
    stream = io.StringIO()
    LineView(Console(file=stream, width=40, force_terminal=is_terminal, color_system=None, highlight=False)).note(text)
    assert len(stream.getvalue().splitlines()) == lines
    assert stream.getvalue().split() == text.split()
