"""`tune state mv`: another address for the same record."""

from __future__ import annotations

import click
from attrs import evolve

from executor.applying.provenance import origin
from planner.recipe import NAME
from state.diagnostic import problem
from state.record import State
from state.wording import suggestion
from tune.project import open_project
from tune.writing import lock_timeout, open_writer, say


@click.command()
@click.argument("before")
@click.argument("after")
@click.argument("recipe", default=".")
@lock_timeout
def command(before: str, after: str, recipe: str, *, lock_timeout: float) -> None:
    """Give the resource at address BEFORE the address AFTER; nothing is built again.

    Rename the table in the recipe too. Its tokens follow by themselves: the next plan adopts them.
    """
    project = open_project(recipe)
    author = origin(project.file, "").author("tune state mv")
    with open_writer(project, author, lock_timeout, say) as writer:
        _check(writer.state, before, after)
        record = writer.state.records[before]
        moved = evolve(writer.state, records=writer.state.records.changed({before: None, after: record}))
        writer.save(moved, f"moved {before} to {after}")
    click.echo(f"{before} is {after} now.")


def _check(state: State, before: str, after: str) -> None:
    if before not in state.records:
        raise problem("Unknown address", f"The state has no `{before}`.", suggestion(before, list(state.records)))
    if before == after:
        raise problem("Address in use", f"`{before}` has this address already.", "Name another one.")
    if after in state.records:
        hint = f"Forget it first: `tune state rm {after}`."
        raise problem("Address in use", f"The state has a `{after}` already.", hint)
    kind, _, name = after.partition(".")
    if kind != before.partition(".")[0] or not name:
        detail = f"`{before}` cannot become `{after}`: an address is a kind and a name, and the kind stays."
        raise problem("Invalid address", detail, f"For instance `{before.partition('.')[0]}.{name or 'other'}`.")
    # Tokens have names of several parts, and members of a matrix say in brackets which they are.
    if not all(NAME.fullmatch(part) for part in name.partition("[")[0].split(".")):
        detail = f"No recipe can have a `{after}`: names are made of letters, digits, `_` and `-`."
        raise problem("Invalid address", detail, "Name it as its table is called in the recipe.")
