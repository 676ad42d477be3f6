"""The page for programs names every code, event and command that there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import attrs
import click
import pytest

from executor.workers import events
from planner.diff import Action
from planner.reason import CODES
from tune.cli import COMMANDS, commands

PAGE = (Path(__file__).parent.parent / "docs" / "reference" / "machines.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, str]:
    """The table below a heading: the first cell's code, and the rest."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)`[^|]*\| (.*) \|$", section, re.MULTILINE))


def test_every_reason_is_explained_and_no_other() -> None:
    assert list(rows("The plan")) == list(CODES.values())


def test_every_action_is_named_in_the_order_of_the_summary() -> None:
    named = re.search(r"`action` is one of (.*?);", PAGE, re.DOTALL)
    assert named is not None
    assert sorted(re.findall(r"`(\w+)`", named[1])) == sorted(Action)


@pytest.mark.parametrize("event", get_args(events.Event))
def test_every_event_is_there_with_its_fields(event: type) -> None:
    name = next(name for name, kind in events._NAMES.items() if kind is event)
    said = rows("Events of apply")[name]
    assert [field.name for field in attrs.fields(event) if f"`{field.name}`" not in said] == []


def test_every_command_that_prints_json_is_listed() -> None:
    context = click.Context(commands)
    found = []
    for name in COMMANDS:
        command = commands.get_command(context, name)
        assert command is not None
        inner = {name: command}
        if isinstance(command, click.Group):
            listed = [(one, command.get_command(context, one)) for one in command.list_commands(context)]
            inner = {f"{name} {one}": made for one, made in listed if made is not None}
        found += [path for path, one in inner.items() if any("--json" in option.opts for option in one.params)]
    assert len(found) > 5
    section = PAGE.partition("\n## What prints JSON\n")[2].partition("\n## ")[0]
    assert [path for path in found if not re.search(rf"`tune {path}[^`]* --json`", section)] == []
