"""`tune validate`: says whether a recipe is right, with its data files."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from planner.overrides import Overrides
from planner.planfile import diagnostic_to_plain
from state.diagnostic import Diagnostic, ProblemError
from tune.machine_warnings import warn_of_libraries
from tune.overriding import overriding
from tune.project import open_project
from tune.views.diagnostics import print_diagnostics
from tune.views.words import plural


@click.command()
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON, problems included.")
@overriding
@click.pass_context
def command(context: click.Context, recipe: str, *, as_json: bool, overrides: Overrides) -> None:
    """Check RECIPE (a file, or a folder with a recipe.toml): syntax, fields, references, data files."""
    try:
        project = open_project(recipe, overrides)
        checked, _, diagnostics = project.desired(project.state_to_plan_from())
    except ProblemError as error:
        if not as_json:
            raise
        click.echo(_verdict((), error.diagnostics, valid=False))
        context.exit(1)
    warn_of_libraries({one.kind.name for one in checked.resources.values()})
    if as_json:
        click.echo(_verdict(tuple(checked.resources), diagnostics, valid=True))
        return
    print_diagnostics(diagnostics)
    click.echo(f"{project.file.name} is valid: {plural(len(checked.resources), 'resource')}.")


def _verdict(resources: Sequence[str], diagnostics: Sequence[Diagnostic], *, valid: bool) -> str:
    found = [diagnostic_to_plain(one) for one in diagnostics]
    return json.dumps({"valid": valid, "resources": list(resources), "diagnostics": found}, indent=1)
