"""`tune state list`: every resource in a line."""

from __future__ import annotations

import json

import click

from state.plain import record_to_plain
from tune.project import open_project
from tune.views.state import print_known_tags, print_list
from tune.views.terminal import console


@click.command()
@click.argument("recipe", default=".")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only what has this tag; of several, all.")
@click.option("--json", "as_json", is_flag=True, help="Print all records as JSON.")
def command(recipe: str, tags: tuple[str, ...], *, as_json: bool) -> None:
    """List every resource in the state of RECIPE."""
    records = open_project(recipe).state().records
    chosen = {address: one for address, one in sorted(records.items()) if {*tags} <= {*one.tags}}
    if as_json:
        click.echo(json.dumps({address: record_to_plain(one) for address, one in chosen.items()}, indent=1))
    elif chosen or not records:
        print_list(console(), chosen)
    else:
        print_known_tags(console(), tags, records)
