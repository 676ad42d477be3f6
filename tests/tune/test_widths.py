"""What people see at 80 columns, at 200, and on terminals with and without colour, whole."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console

from planner.plan import Plan
from tests.fake_kinds import KINDS
from tests.tune.conftest import TUNE
from tune.views.plan import print_plan, print_why

RECIPE = """\
[raw.data]
source = "data.txt"
[thing.base]
base = ["raw.data"]
[thing.middle]
base = ["thing.base"]
[thing.top]
base = ["thing.middle"]
"""
COLOUR = "a blue that nobody has ever seen in the light of day, and few by night"
COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")
ANY_CODE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def plan(workshop: Any) -> Plan:
    workshop.write(RECIPE, **{"data.txt": "one"})
    workshop.apply()
    workshop.write(RECIPE.replace("[thing.base]", f'[thing.base]\ncolour = "{COLOUR}"'), **{"data.txt": "two"})
    made: Plan = workshop.plan()
    return evolve(made, steps=tuple(evolve(step, estimate={}) for step in made.steps))


def console(width: int) -> Console:
    return Console(file=io.StringIO(), width=width, color_system=None, highlight=False)


def test_a_plan_at_80_columns(plan: Plan) -> None:
    out = console(80)
    print_plan(out, plan, KINDS)
    assert out.file.getvalue() == (  # type: ignore[attr-defined]  # a StringIO
        "To make the models match recipe.toml, tune will:\n"
        "\n"
        "    ~ update the record only\n"
        "  -/+ rebuild (what it replaces is kept)\n"
        "\n"
        "    ~ raw.data  update the record\n"
        "        data.txt: content changed (0a1c6d4cf41e -> 35d5c8cc887e)\n"
        "  -/+ thing.base  rebuild\n"
        '        colour: "red" -> "a blue that nobody has ever seen in the light of day,\n'
        '        and few by night"  # forces rebuild: it looks different (recipe.toml:4)\n'
        "        base: raw.data changes, because data.txt changed\n"
        "  -/+ thing.middle  rebuild, unless its inputs come out the same\n"
        '        base: thing.base may change, because colour: "red" -> "a blue that\n'
        '        nobody has ever seen in the light of day, and few by night"\n'
        "  -/+ thing.top  rebuild, unless its inputs come out the same\n"
        '        base: thing.middle may change through thing.base, because colour: "red"\n'
        '        -> "a blue that nobody has ever seen in the light of day, and few by\n'
        '        night"\n'
        "\n"
        "Plan: 3 to rebuild, 1 to update.\n"
    )


def test_a_plan_at_200_columns(plan: Plan) -> None:
    out = console(200)
    print_plan(out, plan, KINDS)
    assert out.file.getvalue() == (  # type: ignore[attr-defined]  # a StringIO
        "To make the models match recipe.toml, tune will:\n"
        "\n"
        "    ~ update the record only\n"
        "  -/+ rebuild (what it replaces is kept)\n"
        "\n"
        "    ~ raw.data  update the record\n"
        "        data.txt: content changed (0a1c6d4cf41e -> 35d5c8cc887e)\n"
        "  -/+ thing.base  rebuild\n"
        f'        colour: "red" -> "{COLOUR}"  # forces rebuild: it looks different (recipe.toml:4)\n'
        "        base: raw.data changes, because data.txt changed\n"
        "  -/+ thing.middle  rebuild, unless its inputs come out the same\n"
        f'        base: thing.base may change, because colour: "red" -> "{COLOUR}"\n'
        "  -/+ thing.top  rebuild, unless its inputs come out the same\n"
        f'        base: thing.middle may change through thing.base, because colour: "red" -> "{COLOUR}"\n'
        "\n"
        "Plan: 3 to rebuild, 1 to update.\n"
    )


def test_the_whole_chain_at_80_columns(plan: Plan) -> None:
    out = console(80)
    print_why(out, plan, plan.steps[-1], KINDS)
    assert out.file.getvalue() == (  # type: ignore[attr-defined]  # a StringIO
        "-/+ thing.top  rebuild, unless its inputs come out the same\n"
        "    because base: thing.middle may change\n"
        "      because base: thing.base may change\n"
        '        because colour: "red" -> "a blue that nobody has ever seen in the light\n'
        '                of day, and few by night"  # forces rebuild: it looks different\n'
        "                (recipe.toml:4)\n"
        "        because base: raw.data changes\n"
        "          because data.txt: content changed (0a1c6d4cf41e -> 35d5c8cc887e)\n"
        "    made from thing.middle as base: digest known only when it is made\n"
    )


def test_the_whole_chain_at_200_columns(plan: Plan) -> None:
    out = console(200)
    print_why(out, plan, plan.steps[-1], KINDS)
    assert out.file.getvalue() == (  # type: ignore[attr-defined]  # a StringIO
        "-/+ thing.top  rebuild, unless its inputs come out the same\n"
        "    because base: thing.middle may change\n"
        "      because base: thing.base may change\n"
        f'        because colour: "red" -> "{COLOUR}"  # forces rebuild: it looks different (recipe.toml:4)\n'
        "        because base: raw.data changes\n"
        "          because data.txt: content changed (0a1c6d4cf41e -> 35d5c8cc887e)\n"
        "    made from thing.middle as base: digest known only when it is made\n"
    )


def on_a_terminal(folder: Path, columns: int, **variables: str) -> str:
    """What `tune plan` writes to a terminal of a width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    environment = {**plain, "TERM": "xterm-256color", **variables}
    running = subprocess.Popen([str(TUNE), "plan"], cwd=folder, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # a terminal that its last writer has closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    assert running.wait() == 0
    return written.decode().replace("\r\n", "\n")


def test_colour_carries_no_meaning_and_can_be_turned_off(fresh: Any) -> None:
    coloured = on_a_terminal(fresh.path, 100)
    assert COLOUR_CODE.search(coloured)
    without = on_a_terminal(fresh.path, 100, NO_COLOR="1")
    assert not COLOUR_CODE.search(without)
    assert "\x1b" not in on_a_terminal(fresh.path, 100, TERM="dumb")
    printed = fresh.tune("plan").stdout
    assert ANY_CODE.sub("", coloured) == ANY_CODE.sub("", without) == printed


@pytest.mark.parametrize(("columns", "terminal"), [(40, "xterm-256color"), (40, "dumb"), (80, "xterm"), (200, "dumb")])
def test_no_line_is_wider_than_the_terminal(fresh: Any, columns: int, terminal: str) -> None:
    fresh.edit("seed = 1", f'seed = 1\ndescription = "{COLOUR}"')
    lines = ANY_CODE.sub("", on_a_terminal(fresh.path, columns, TERM=terminal)).splitlines()
    assert len(lines) > 12
    assert max(map(len, lines)) <= columns
