"""`tune accept`: what exists is good for what the recipe asks for now, says a person, and history keeps why."""

from __future__ import annotations

import click

from executor.applying.accepting import accepted
from executor.applying.importing import Surroundings
from executor.applying.provenance import origin
from planner.overrides import Overrides
from planner.renaming import renamed
from state.change import put
from state.record import Record, State
from tune.cli import usage_problem
from tune.overriding import overriding
from tune.project import open_project
from tune.views.words import short
from tune.writing import lock_timeout, open_writer, say


@click.command()
@click.argument("address")
@click.argument("recipe", default=".")
@click.option("--because", required=True, metavar="REASON", help="Why no work is needed; kept in the history.")
@lock_timeout
@overriding
def command(address: str, recipe: str, *, because: str, lock_timeout: float, overrides: Overrides) -> None:
    """Record that what exists at ADDRESS is good for what RECIPE asks for now. Nothing is run.

    Its settings and inputs become those of the recipe, and the plan has nothing to do for it any more. Its checkpoints
    are no longer continued from, for they belong to the run that it was.
    """
    if not because.strip():
        raise usage_problem("--because is empty.", 'Say why: `--because "only the wording of a comment changed"`.')
    project = open_project(recipe, overrides)
    made = origin(project.file, "")
    surroundings = Surroundings(project.kinds, project.layout, made)

    def check(state: State) -> tuple[State, Record]:
        checked, desired, _ = project.desired(state)
        named = renamed(checked, state).state
        return named, accepted(address, because, desired, named, surroundings)

    # Refused before the lock is taken and anything written; checked again against the state as it is then.
    check(project.state())
    with open_writer(project, made.author("tune accept"), lock_timeout, say) as writer:
        state, record = check(writer.state)
        writer.save(put(state, address, record), because)
    click.echo(f"{address} is accepted as it is, output {short(record.output_digest)}.")
