"""`tune state rm`: forgets resources without touching what was made."""

from __future__ import annotations

import click

from executor.applying.provenance import origin
from state.change import forget
from state.diagnostic import Diagnostic, ProblemError
from state.wording import suggestion
from tune.project import open_project
from tune.writing import lock_timeout, open_writer, say


@click.command()
@click.argument("addresses", nargs=-1, required=True)
@click.option("--recipe", default=".", help="The recipe, or the folder it is in.")
@lock_timeout
def command(addresses: tuple[str, ...], recipe: str, *, lock_timeout: float) -> None:
    """Forget the resources at ADDRESSES; their artifacts stay on disk until they are collected.

    As long as they do, a recipe that still asks for them has them adopted, not built again.
    """
    project = open_project(recipe)
    author = origin(project.file, "").author("tune state rm")
    with open_writer(project, author, lock_timeout, say) as writer:
        known = list(writer.state.records)
        missing = [address for address in addresses if address not in known]
        if missing:
            raise ProblemError(
                [Diagnostic("Unknown address", f"The state has no `{one}`.", suggestion(one, known)) for one in missing]
            )
        state = writer.state
        for address in dict.fromkeys(addresses):
            state = forget(state, address)
        writer.save(state, f"forgot {', '.join(addresses)}")
    for address in dict.fromkeys(addresses):
        click.echo(f"{address} is forgotten.")
