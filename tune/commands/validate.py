"""`tune validate`: says whether a recipe is right, with its data files."""

from __future__ import annotations

import json

import click

from tune.project import open_project
from tune.views.words import plural


@click.command()
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def command(recipe: str, *, as_json: bool) -> None:
    """Check RECIPE (a file, or a folder with a recipe.toml): syntax, fields, references, data files."""
    project = open_project(recipe)
    checked, _, diagnostics = project.desired(project.state())
    if as_json:
        from planner.planfile import diagnostic_to_plain

        found = [diagnostic_to_plain(one) for one in diagnostics]
        click.echo(json.dumps({"valid": True, "resources": list(checked.resources), "diagnostics": found}, indent=1))
        return
    click.echo(f"{project.file.name} is valid: {plural(len(checked.resources), 'resource')}.")
