"""`tune fmt`: a recipe's text in its canonical form."""

from __future__ import annotations

import os

import click
from tomlkit.exceptions import ParseError

from planner.formatting import formatted
from planner.written import read
from state.diagnostic import Place, problem
from state.durable import write_atomically
from tune.project import open_project
from tune.writing import say


@click.command()
@click.argument("recipe", default=".")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if the recipe is not in canonical form.")
@click.pass_context
def command(context: click.Context, recipe: str, *, check: bool) -> None:
    """Put RECIPE (a file, or a folder with a recipe.toml) in canonical form, and name it if that changed anything.

    \b
    - Tables: what a resource is made from above it, otherwise as they were;
      inner tables below their resource; `vars` first; `moved`, `import`,
      `removed`, `hardware`, `policy` and `state` last. Comments directly
      above a header, or parted from what is above them, go with it.
    - Blank lines: one above every header, never two together.
    - Spaces: one on each side of the `=` of a key, none at the end of a line
      or before a header; lines end as on Unix; no byte order mark.

    Everything else stays as it is: comments, the order of keys, their indentation, and how values are written.
    """  # noqa: D301  click's mark for lines that it must not join
    file = open_project(recipe).file
    if file.suffix != ".toml":
        raise problem("Not TOML", f"`{file.name}` cannot be formatted.", "Only recipes in TOML can.")
    before = file.read_bytes()
    try:
        text = before.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise problem("Not UTF-8", f"`{file.name}` is not UTF-8.", "Save it as UTF-8.") from None
    read(text, file.name)
    try:
        after = formatted(text).encode("utf-8")
    except ParseError as error:  # it is TOML all the same
        place = Place(file.name, error.line, error.col + 1)
        raise problem(
            "Invalid TOML",
            f"It cannot be formatted: {error}.",
            "Nest values less deeply, and let the tables of an array stand together.",
            place,
        ) from None
    if after == before:
        return
    if not check:
        write_atomically(file, after)
    click.echo(os.path.relpath(file))
    if check:
        say("It is not in canonical form: `tune fmt` puts it there.")
        context.exit(1)
