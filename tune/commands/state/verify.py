"""`tune state verify`: everything that carries a digest, checked against it."""

from __future__ import annotations

import json

import click

from executor.applying.verification import Verification
from planner.planfile import diagnostic_to_plain
from tune.project import open_project
from tune.views.diagnostics import print_diagnostics
from tune.views.words import plural


@click.command()
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.pass_context
def command(context: click.Context, recipe: str, *, as_json: bool) -> None:
    """Check state, journal, history and all artifacts of RECIPE against their digests; nothing is repaired.

    Every byte that is here is read; exits with 1 if anything is not what was written.
    """
    project = open_project(recipe)
    verification = Verification(project.store, project.layout, project.shared)
    verification.run()
    found = verification.found
    if as_json:
        plain = [diagnostic_to_plain(one) for one in found]
        click.echo(json.dumps({"intact": not found, "checked": verification.checked, "diagnostics": plain}, indent=1))
    else:
        print_diagnostics(found)
        checked = ", ".join(f"{what} ({count})" for what, count in verification.checked.items())
        verdict = "Everything is what was written." if not found else f"{plural(len(found), 'problem')} found."
        click.echo(f"Checked: {checked}. {verdict}")
    context.exit(1 if found else 0)
