"""The options that pick part of a plan, or ask for something to be made anew."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from planner.plan import Selection

_OPTIONS = {
    "--target": "Only this and what it is made from; may be given several times.",
    "--exclude": "All but this and what is made from it; may be given several times.",
    "--replace": "Make this anew, though nothing has changed; may be given several times.",
}


def selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options `--target`, `--exclude` and `--replace`; it receives them as `selection`."""

    @functools.wraps(command)
    def with_selection(**options: Any) -> Any:  # noqa: ANN401  whatever the command takes and returns
        selection = Selection(*(options.pop(name.removeprefix("--")) for name in _OPTIONS))
        return command(selection=selection, **options)

    chosen: Callable[..., Any] = with_selection
    for name, text in reversed(_OPTIONS.items()):
        chosen = click.option(name, multiple=True, metavar="ADDRESS", help=text)(chosen)
    return chosen
