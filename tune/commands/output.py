"""`tune output`: where finished artifacts lie, for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import click

from planner.structure import suggestion
from state.diagnostic import problem
from state.record import Status
from tune.project import open_project


@click.command()
@click.argument("address", required=False)
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print paths and metrics as JSON.")
def command(address: str | None, recipe: str, *, as_json: bool) -> None:
    """Print the folder of ADDRESS (a plain Hugging Face model folder), or of everything that has one.

    Both `tune output ADDRESS RECIPE` and `tune output RECIPE` do; RECIPE is the folder at hand if left out.
    """
    names_recipe = address is not None and Path(address).exists()
    project = open_project(str(address) if names_recipe else recipe)
    wanted = None if names_recipe else address
    records = project.state().records
    found = {
        key: {"path": str(project.layout.root / record.artifact), "metrics": dict(record.metrics)}
        for key, record in sorted(records.items())
        if record.artifact and record.status is Status.READY
    }
    if wanted is not None and wanted not in found:
        hint = suggestion(wanted, list(found)) or "See `tune state list`."
        raise problem("No output", f"{wanted} has no finished artifact.", hint)
    if as_json:
        click.echo(json.dumps(found if wanted is None else found[wanted], indent=1))
    elif wanted is not None:
        click.echo(found[wanted]["path"])
    else:
        for key, one in found.items():
            click.echo(f"{key}\t{one['path']}")
