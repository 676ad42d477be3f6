"""`tune state`: what exists, and from exactly what it was made."""

from __future__ import annotations

import json

import click

from planner.structure import suggestion
from state.diagnostic import problem
from state.format import record_to_plain
from state.record import State
from tune.project import Project, open_project
from tune.views.state import print_list, print_record
from tune.views.terminal import console


@click.group()
def command() -> None:
    """Look at what exists."""


@command.command("list")
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print all records as JSON.")
def list_records(recipe: str, *, as_json: bool) -> None:
    """List every resource in the state of RECIPE."""
    state = open_project(recipe).state()
    if as_json:
        click.echo(json.dumps({key: record_to_plain(one) for key, one in sorted(state.records.items())}, indent=1))
    else:
        print_list(console(), state)


@command.command("show")
@click.argument("address")
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
def show_record(address: str, recipe: str, *, as_json: bool) -> None:
    """Show the record of ADDRESS: what it was made from, with which settings, when, by whom, and how good it is."""
    project = open_project(recipe)
    state = project.state()
    known = _known(state, address, project)
    if as_json:
        click.echo(json.dumps({"address": known, **record_to_plain(state.records[known])}, indent=1))
    else:
        print_record(console(), known, state)


def _known(state: State, address: str, project: Project) -> str:
    if address in state.records:
        return address
    hint = suggestion(address, list(state.records))
    if not state.records:
        hint = "Nothing has been applied yet: run `tune apply`."
    raise problem("Unknown address", f"The state of {project.file.name} has no `{address}`.", hint)
