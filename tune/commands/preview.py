"""`tune preview`: rows as the model will see them, with what is trained; nothing has to be applied for it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from planner.overrides import Overrides
from state.diagnostic import Severity, problem
from state.durable import write_atomically
from tune.cli import usage_problem
from tune.overriding import overriding
from tune.project import open_project
from tune.views.terminal import console


@click.command()
@click.argument("address", required=False)
@click.argument("recipe", default=".")
@click.option("--rows", default=3, show_default=True, type=click.IntRange(0), help="Show so many rows of each.")
@click.option("--row", type=click.IntRange(1), help="Show the row at this place, uncut.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page that needs nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@overriding
@click.pass_context
def command(  # noqa: PLR0913  one parameter for each option
    context: click.Context,
    address: str | None,
    recipe: str,
    *,
    rows: int,
    row: int | None,
    html: Path | None,
    as_json: bool,
    overrides: Overrides,
) -> None:
    """Show what is trained of ADDRESS: a train or eval table, its tokens, or a dataset; of all if left out.

    Both `tune preview ADDRESS RECIPE` and `tune preview RECIPE` do; RECIPE is the folder at hand if left out.
    """
    if html is not None and as_json:
        raise usage_problem("`--html` and `--json` do not go together.", "Choose one of them.")
    names_recipe = address is not None and Path(address).exists()
    project = open_project(str(address) if names_recipe else recipe, overrides)
    wanted = range(row, row + 1) if row is not None else range(1, rows + 1)

    from executor.tokens.preview import choose, preview, with_overlaps
    from tune.views.preview import print_preview, to_plain
    from tune.views.preview_html import page

    resources, state = project.recipe().resources, project.state()
    chosen = choose(resources, None if names_recipe else address)
    folder = project.file.parent
    previews = with_overlaps([preview(one, resources, folder, state, wanted) for one in chosen])
    if row is not None and not any(one.shown for one in previews):
        most = max((len(one.rows) for one in previews), default=0)
        raise problem("No such row", f"There is no row {row}: {most} were read.", "Rows count from 1.")
    if as_json:
        shown = {"format": "tune-preview/1", "tokens": [to_plain(one) for one in previews]}
        click.echo(json.dumps(shown, indent=1, ensure_ascii=False))
    elif html is not None:
        write_atomically(html, page(previews).encode())
        click.echo(f"Wrote {html}.", err=True)
    else:
        out = console()
        for number, one in enumerate(previews):
            out.print("\n" * (number > 0), end="")
            print_preview(out, one, whole=row is not None)
    faulty = any(found.severity is Severity.ERROR for one in previews for found in one.diagnostics)
    context.exit(1 if faulty else 0)
