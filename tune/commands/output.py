"""`tune output`: where finished artifacts lie, for scripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from executor.applying.shelf import Shelf
from state import artifacts
from state.diagnostic import ProblemError, problem
from state.record import Record, Status
from state.wording import suggestion
from tune.project import open_project
from tune.views.run import LineView
from tune.views.terminal import console


@click.command()
@click.argument("address", required=False)
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print paths and metrics as JSON.")
@click.option("--fetch", is_flag=True, help="Bring what is not on this machine here, from where artifacts are shared.")
def command(address: str | None, recipe: str, *, as_json: bool, fetch: bool) -> None:
    """Print the folder of ADDRESS (a plain Hugging Face model folder), or of everything that has one.

    Both `tune output ADDRESS RECIPE` and `tune output RECIPE` do; RECIPE is the folder at hand if left out.
    """
    names_recipe = address is not None and Path(address).exists()
    project = open_project(str(address) if names_recipe else recipe)
    wanted = None if names_recipe else address
    records = {
        key: record
        for key, record in sorted(project.state().records.items())
        if record.artifact and record.status is Status.READY and wanted in (None, key)
    }
    if wanted is not None and wanted not in records:
        hint = suggestion(wanted, list(project.state().records)) or "See `tune state list`."
        raise problem("No output", f"{wanted} has no finished artifact.", hint)
    if fetch:
        shelf = Shelf(project.layout, project.shared, LineView(console(sys.stderr)).show)
        for key, record in records.items():
            shelf.folder(key, record)
    found = {key: _described(record, project.layout.root) for key, record in records.items()}
    if as_json:
        click.echo(json.dumps(found if wanted is None else found[wanted], indent=1))
    elif wanted is not None:
        if not found[wanted]["here"]:
            raise _not_here(wanted, records[wanted])
        click.echo(found[wanted]["path"])
    else:
        for key, one in found.items():
            click.echo(f"{key}\t{one['path'] if one['here'] else '(not on this machine)'}")


def _described(record: Record, root: Path) -> dict[str, object]:
    folder = root / record.artifact
    return {"path": str(folder), "here": artifacts.read(folder) is not None, "metrics": dict(record.metrics)}


def _not_here(address: str, record: Record) -> ProblemError:
    detail = f"{address} was made on {record.provenance.host}; its artifact is not on this machine."
    return problem("Artifact not here", detail, f"`tune output {address} --fetch` brings it, if artifacts are shared.")
