"""`tune state list`: every resource in a line."""

from __future__ import annotations

import json

import click

from state.plain import record_to_plain
from tune.project import open_project
from tune.views.state import print_list
from tune.views.terminal import console


@click.command()
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print all records as JSON.")
def command(recipe: str, *, as_json: bool) -> None:
    """List every resource in the state of RECIPE."""
    state = open_project(recipe).state()
    if as_json:
        click.echo(json.dumps({key: record_to_plain(one) for key, one in sorted(state.records.items())}, indent=1))
    else:
        print_list(console(), state)
