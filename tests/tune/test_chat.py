"""Talking to the quickstart's models, from scripts and at a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import select
import struct
import subprocess
import termios
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from tests.processes import running
from tests.tune.conftest import TUNE
from tune.views.conversation import show_answers

pytestmark = [pytest.mark.torch, pytest.mark.slow]

QUESTION = "Write 6 December 2024 as an ISO date."


def at_terminal(folder: Path, columns: int, lines: list[str], *arguments: str) -> str:
    """What a terminal of so many columns shows; each line is typed when the one before it was answered."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = ["setsid", "--ctty", str(TUNE), "chat", *arguments]  # Ctrl-C reaches who controls the terminal
    sized = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with running(
        command, cwd=folder, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env={**sized, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        shown = ""
        for typed in lines[:-1]:
            shown += until_prompt(ours, shown)
            os.write(ours, typed.encode())
            shown += os.read(ours, 4096).decode()
        shown += until_prompt(ours, shown)
        press_until_it_is_heard(ours, lines[-1])
    assert process.returncode == 0
    os.close(ours)
    return shown


def until_prompt(ours: int, before: str) -> str:
    """What is shown until the next line may be typed."""
    shown = ""
    while not (before + shown).endswith("> "):
        shown += os.read(ours, 4096).decode()
    return shown


def press_until_it_is_heard(ours: int, key: str) -> None:
    """Press a key that ends the chat, again where nothing follows, as people do; not twice, for that kills.

    A key that comes between the prompt and Python's waiting for keys is heard with the next one only.
    """
    for _ in range(10):
        os.write(ours, key.encode())
        if select.select([ours], [], [], 10)[0]:
            return


def test_one_answer_is_printed_and_it_is_the_one_that_was_evaluated(quickstart: Any) -> None:
    evaluated = Path(quickstart.tune("output", "eval.assistant").stdout.strip()) / "predictions.jsonl"
    first = json.loads(evaluated.read_text().splitlines()[0])
    row = json.loads((quickstart.path / "data" / "heldout.jsonl").read_text().splitlines()[0])
    question = row["messages"][0]["content"]
    for address in ((), ("train.assistant",)):
        done = quickstart.tune("chat", *address, "--prompt", question)
        assert done.stdout == f"{first['answer']}\n"
        assert done.stderr == f"Loading {address[0] if address else 'merge.assistant'}.\n"


def test_two_models_are_compared_one_below_the_other_where_there_is_no_room(quickstart: Any) -> None:
    done = quickstart.tune("chat", ".", "--prompt", QUESTION, "--compare", "train.assistant", "merge.assistant")
    assert done.stdout == "train.assistant:\n2024-12-06\n\nmerge.assistant:\n2024-12-06\n"


def test_at_a_wide_terminal_two_answers_stand_side_by_side(quickstart: Any) -> None:
    arguments = ("--compare", "train.assistant", "merge.assistant")
    shown = at_terminal(quickstart.path, 120, [f"{QUESTION}\n", "\x04"], *arguments)
    lines = [line.split() for line in shown.splitlines()]
    assert ["2024-12-06", "2024-12-06"] in lines


def test_no_answer_loses_what_does_not_fit_beside_the_other() -> None:
    class Talker:
        def ask(self, text: str, _: object) -> str:
            return text * 200

    shown = StringIO()
    console = Console(file=shown, width=120)
    show_answers(console, cast("Any", {"model.a": Talker(), "model.b": Talker()}), "x")
    assert shown.getvalue().count("x") == 400


def test_ctrl_c_at_the_prompt_ends_the_chat(quickstart: Any) -> None:
    shown = at_terminal(quickstart.path, 80, [f"{QUESTION}\n", "\x03"], "train.assistant")
    assert "2024-12-06" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "There is nobody to talk to."),
        (("dataset.chats", "--prompt", "x"), "dataset.chats is no model."),
        (("train.asistant", "--prompt", "x"), "Did you mean `train.assistant`?"),
        (("train.base", "--prompt", "x", "--compare", "a", "b"), "--compare names both models"),
    ],
)
def test_what_cannot_be_is_a_message(quickstart: Any, arguments: tuple[str, ...], said: str) -> None:
    assert said in quickstart.tune("chat", *arguments, expect=1).stderr
