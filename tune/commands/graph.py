"""`tune graph`: what is made from what, as a drawing."""

from __future__ import annotations

import click

from planner.overrides import Overrides
from tune.overriding import overriding
from tune.project import open_project
from tune.views.graph import dot, mermaid, of_plan, of_recipe

FORMATS = {"mermaid": mermaid, "dot": dot}


@click.command()
@click.argument("recipe", default=".")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="mermaid", show_default=True)
@click.option("--plan", "planned", is_flag=True, help="Say of each resource what the plan does with it, in colour.")
@overriding
def command(recipe: str, *, form: str, planned: bool, overrides: Overrides) -> None:
    """Draw the resources of RECIPE (a file, or a folder with a recipe.toml) and what each is made from."""
    project = open_project(recipe, overrides)
    graph = of_plan(project.plan()[0], project.kinds) if planned else of_recipe(project.recipe().resources)
    click.echo(FORMATS[form](graph), nl=False)
