"""`tune import`: a model or an adapter that was made elsewhere, as the result of a resource."""

from __future__ import annotations

from pathlib import Path

import click

from executor.applying.importing import Import, Surroundings, prepare
from executor.applying.provenance import origin
from planner.overrides import Overrides
from state.record import State
from tune.overriding import overriding
from tune.project import open_project
from tune.views.words import short
from tune.writing import lock_timeout, open_writer, say


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("recipe", default=".")
@click.option("--as", "address", required=True, metavar="ADDRESS", help="The train or merge in the recipe that it is.")
@lock_timeout
@overriding
def command(artifact: Path, recipe: str, *, address: str, lock_timeout: float, overrides: Overrides) -> None:
    """Adopt the folder ARTIFACT, a PEFT adapter or a whole model, as what RECIPE would have made at ADDRESS.

    Nothing is trained. That it was made from the data and the settings that the recipe names is taken on your word, and
    recorded as not verified; from then on, edits are noticed as for everything else. The folder is copied.
    """
    project = open_project(recipe, overrides)
    made = origin(project.file, "")
    surroundings = Surroundings(project.kinds, project.layout, made)
    source = artifact.resolve()

    def check(state: State) -> Import:
        _, desired, _ = project.desired(state)
        return prepare(source, address, desired, state, surroundings)

    # Refused before the lock is taken and anything written; checked again against the state as it is then.
    check(project.state())
    with open_writer(project, made.author("tune import"), lock_timeout, say) as writer:
        say(f"Copying {source.name}.")
        record = check(writer.state).carry_out(writer)
    unknown = any(not one.digest for group in record.inputs.values() for one in group)
    click.echo(f"{address} is imported, output {short(record.output_digest)}.")
    if unknown:
        click.echo("Not all that it was made from is known here yet: `tune plan` says what is taken to be true.")
