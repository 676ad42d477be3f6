"""`tune state pull`: the state file as it is."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from state.diagnostic import problem
from state.durable import write_atomically
from state.history import name_of
from state.store import NAME
from tune.project import open_project
from tune.views.words import plural


@click.command()
@click.argument("recipe", default=".")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Save it to this folder, with its whole history."
)
def command(recipe: str, out: Path | None) -> None:
    """Print the state file of RECIPE byte by byte, as it lies wherever the recipe says."""
    store = open_project(recipe).store
    state = store.load()
    stored = store.backend.get(NAME)
    if stored is None:
        raise problem("No state", "Nothing has been written yet.", "Run `tune apply` first.")
    if out is None:
        sys.stdout.buffer.write(stored.content)
        return
    count = 0
    for digest, entry in store.history.newest_first(state):
        kept = store.backend.get(name_of(entry.serial, digest))
        if kept is not None:
            write_atomically(out / name_of(entry.serial, digest), kept.content)
            count += 1
    write_atomically(out / NAME, stored.content)
    click.echo(f"Saved serial {state.serial} and {plural(count, 'write')} of history to {out}.")
