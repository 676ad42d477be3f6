"""`tune state unlock`: takes a lock away whose owner can no longer give it back."""

from __future__ import annotations

import click

from executor.applying.provenance import origin
from state.lock import unlock
from tune.project import open_project
from tune.writing import open_writer, say


@click.command()
@click.argument("identifier")
@click.argument("recipe", default=".")
def command(identifier: str, recipe: str) -> None:
    """Take the lock IDENTIFIER away; messages about a lock name it.

    Needed only where the owner lives and hangs: a dead owner's lock is taken over by itself. The owner finds that it
    can write nothing any more; the history keeps who did this.
    """
    project = open_project(recipe)
    owner = unlock(project.backend, identifier)
    with open_writer(project, origin(project.file, "").author("tune state unlock"), 0.0, say) as writer:
        # Written even if nothing changed: what the former owner believes to write over is no longer there.
        writer.save(writer.state, f"took the lock {identifier} away from {owner}")
        writer.journal.claim(writer.state)
    click.echo(f"The lock of {owner} is gone.")
