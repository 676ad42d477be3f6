"""`tune diff SERIAL SERIAL`: what changed between two writes of the state."""

from __future__ import annotations

import json

import click

from state.plain import record_to_plain
from tune.project import open_project
from tune.views.history import print_difference
from tune.views.terminal import console
from tune.views.words import plural


@click.command()
@click.argument("before", type=click.IntRange(0))
@click.argument("after", type=click.IntRange(0))
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the differing records as JSON.")
def command(before: int, after: int, recipe: str, *, as_json: bool) -> None:
    """Show what changed from serial BEFORE to serial AFTER of the state of RECIPE; `tune state log` lists them.

    Serial 0 is the empty state. Figures are those that were recorded then, whatever exists now.
    """
    store = open_project(recipe).store
    state = store.load()
    old, new = (store.history.records_at(state, serial) for serial in (before, after))
    if as_json:
        changed = sorted(address for address in old.keys() | new.keys() if old.get(address) != new.get(address))
        pairs = {
            address: {
                "before": record_to_plain(old[address]) if address in old else None,
                "after": record_to_plain(new[address]) if address in new else None,
            }
            for address in changed
        }
        click.echo(json.dumps({"before": before, "after": after, "records": pairs}, indent=1, ensure_ascii=False))
        return
    count = print_difference(console(), old, new)
    click.echo(f"{plural(count, 'resource')} changed from serial {before} to {after}." if count else "No difference.")
