"""`tune serve`: the command that serves a model, printed or started."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import click

from executor.applying.finished_models import foundations, located, newest
from executor.applying.shelf import Shelf
from executor.publishing.serving import INSTALLATION, served
from executor.publishing.serving import command as command_line
from state.diagnostic import problem
from tune.project import open_project
from tune.views.run import LineView
from tune.views.terminal import console


@click.command()
@click.argument("address", required=False)
@click.argument("recipe", default=".")
@click.option("--with", "server", type=click.Choice(list(INSTALLATION)), default="vllm", show_default=True)
@click.option("--run", "starts", is_flag=True, help="Start it, in the place of this command.")
def command(address: str | None, recipe: str, *, server: str, starts: bool) -> None:
    """Print the command that serves ADDRESS, or the model that was finished last, with a server that others wrote.

    A base from the hub is named with its commit; an adapter is served on exactly the base that it was trained on.
    """
    names_recipe = address is not None and Path(address).exists()
    project = open_project(str(address) if names_recipe else recipe)
    state = project.state()
    materials = foundations(address if address and not names_recipe else newest(state), state)
    shelf = Shelf(project.layout, project.shared, LineView(console(sys.stderr)).show)
    line = command_line(server, served(materials, located(materials, project.kinds, shelf, project.file.parent)))
    if not starts:
        click.echo(shlex.join(line))
        return
    program = shutil.which(line[0])
    if program is None:
        raise problem("Not installed", f"There is no `{line[0]}` on this machine's PATH.", INSTALLATION[server])
    os.execv(program, line)  # noqa: S606  no shell: every word is an argument
