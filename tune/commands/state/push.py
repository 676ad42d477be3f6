"""`tune state push`: a state from elsewhere in the place of this one, if it can only be what this one became."""

from __future__ import annotations

from pathlib import Path

import click

from executor.applying.provenance import origin
from state import format as state_format
from state.backend import Backend
from state.diagnostic import problem
from state.history import FOLDER, History
from state.record import EMPTY, State
from state.store import NAME
from tune.project import open_project
from tune.writing import lock_timeout, open_writer, say


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.argument("recipe", default=".")
@lock_timeout
def command(path: Path, recipe: str, *, lock_timeout: float) -> None:
    """Put the state file at PATH, or the one in a folder from `tune state pull --out`, in place of that of RECIPE.

    Refused unless it continues what is there: another lineage, an older serial or a serial of other content cannot.
    Entries of its history that are missing here are brought along from the folder `history` beside it.
    """
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        raise problem("No state", f"`{path}` holds no {NAME}.", "Name a state file, or a folder that holds one.")
    content = file.read_bytes()
    pushed = state_format.read(content, str(file))
    project = open_project(recipe)
    _bring_history(file.parent, project.backend)
    author = origin(project.file, "").author("tune state push")
    with open_writer(project, author, lock_timeout, say) as writer:
        if writer.state.digest == pushed.digest:
            click.echo(f"Nothing to push: serial {pushed.serial} is there already.")
            return
        _check(pushed, writer.state, project.store.history)
        project.store.replace(content, pushed)
    click.echo(f"Serial {pushed.serial} is in place.")


def _bring_history(folder: Path, backend: Backend) -> None:
    """Entries are named by their digests and never replaced, so bringing too many does no harm."""
    for path in sorted((folder / FOLDER).glob("*.json")):
        name = f"{FOLDER}{path.name}"
        if backend.size(name) is None:
            backend.put_if_absent(name, path.read_bytes())


def _check(pushed: State, present: State, history: History) -> None:
    """Raise ProblemError unless the pushed state descends from what is there, as its history proves."""
    ancestors = {0: "", **{entry.serial: digest for digest, entry in history.newest_first(pushed)}}
    if present == EMPTY:
        return
    if pushed.lineage != present.lineage:
        detail = f"It has the lineage {pushed.lineage}, and the state in place {present.lineage}."
        raise problem("Another state", detail, "It belongs to another recipe, or to a start from nothing.")
    if pushed.serial <= present.serial:
        detail = f"It has the serial {pushed.serial}, and the state in place {present.serial}."
        raise problem("Older state", detail, "What came after it would be lost. `tune diff` shows what that is.")
    if ancestors.get(present.serial) != present.history:
        detail = f"It does not continue serial {present.serial} that is in place: both went on from an earlier one."
        raise problem("Diverged state", detail, "Apply from the state in place; artifacts made on the way are found.")
