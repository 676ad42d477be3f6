"""`tune state`: what exists, and from exactly what it was made; one module for each of its commands."""

from __future__ import annotations

import click

from tune.cli import LazyCommands

COMMANDS = {
    "list": "List every resource in the state.",
    "show": "Show what made an address, a digest or a file.",
    "log": "Show who changed what, newest first.",
    "verify": "Check state, history, journal and artifacts against their digests.",
    "mv": "Give a resource another address; nothing is built again.",
    "rm": "Forget a resource; its artifact stays until it is collected.",
    "pull": "Print the state file, or save it with its history.",
    "push": "Put a state file from elsewhere in place of this one.",
    "unlock": "Take a lock away whose owner can no longer give it back.",
}


class StateCommands(LazyCommands):
    """The commands below `tune state`."""

    package = "tune.commands.state"
    texts = COMMANDS


@click.group(cls=StateCommands)
def command() -> None:
    """Look at what exists, and put it in order."""
