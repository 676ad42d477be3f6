"""`tune state log`: who changed what, newest first."""

from __future__ import annotations

import json
from itertools import islice

import click

from state.plain import record_to_plain
from tune.project import open_project
from tune.views.history import print_entry
from tune.views.terminal import console


@click.command()
@click.argument("recipe", default=".")
@click.option("-n", "--number", type=click.IntRange(1), help="Show only so many entries.")
@click.option("--address", help="Show only the writes that changed this address.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, with the whole records.")
def command(recipe: str, number: int | None, address: str | None, *, as_json: bool) -> None:
    """Show every write of the state of RECIPE, newest first; each is proved by its digest as it is read."""
    store = open_project(recipe).store
    entries = store.history.newest_first(store.load())
    wanted = (one for one in entries if address is None or address in one[1].records)
    out = console()
    shown = False
    for digest, entry in islice(wanted, number):
        shown = True
        if as_json:
            click.echo(json.dumps({"digest": digest, **record_to_plain(entry)}, ensure_ascii=False))
        else:
            print_entry(out, digest, entry)
    if not shown and not as_json:
        click.echo("No write changed this address." if address else "Nothing has been written yet.", err=True)
