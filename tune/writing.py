"""How commands come to change a state: the option that says how long to wait, and the lock with words about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from state.history import Author
from state.lock import Lock
from state.owner import Owner, this_process
from state.writer import Writer, writing
from tune.project import Project

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """Seconds, or a number with its unit: 30s, 10m, 2h, 7d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """The number of seconds."""
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value))
        if found is None:
            self.fail(f"{value!r} is no duration: write 30s, 10m, 2h or 7d.", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


lock_timeout = click.option(
    "--lock-timeout",
    type=Duration(),
    default=0.0,
    metavar="DURATION",
    help="How long to wait for another command to give the lock back (30s, 10m, 2h).",
)
"""The option of every command that changes the state."""


@contextmanager
def open_writer(project: Project, author: Author, timeout: float, say: Callable[[str], None]) -> Iterator[Writer]:
    """The right to change the project's state, with a word wherever that takes time or a dead owner's lock."""

    def wait(owner: Owner) -> None:
        say(f"Waiting for the lock of {owner}.")

    project.layout.create()
    lock = Lock(project.backend, this_process(author.command, author.plan), timeout, wait)
    with writing(project.store, lock, author) as writer:
        if lock.taken_from is not None:
            say(f"Took over the lock of {lock.taken_from}, which is gone.")
        yield writer


def say(text: str) -> None:
    """Talk, to standard error."""
    click.echo(text, err=True)
