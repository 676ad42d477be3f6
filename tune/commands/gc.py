"""`tune gc`: removes what nothing needs any more."""

from __future__ import annotations

import json
import sys
import time

import click

from executor.applying.collection import Collection, Policy, collect, find
from executor.applying.provenance import origin
from state.diagnostic import problem
from state.record import State
from state.shared_store import SharedStore
from tune.cli import usage_problem
from tune.project import open_project
from tune.views.collection import print_collection, sizes, to_plain
from tune.views.terminal import console
from tune.writing import Duration, lock_timeout, open_writer, say


@click.command()
@click.argument("recipe", default=".")
@click.option(
    "--keep", type=click.IntRange(0), default=1, show_default=True, help="Superseded results for each address."
)
@click.option("--older-than", type=Duration(), default=0.0, metavar="DURATION", help="Only what is as old (12h, 7d).")
@click.option("--checkpoints", is_flag=True, help="Also those of finished runs, which cannot be extended then.")
@click.option("--unfinished", is_flag=True, help="Also runs that never finished and that an edit has left behind.")
@click.option("--shared", is_flag=True, help="Also in the shared store, what no state relies on any more.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and leave everything.")
@click.option("--auto-approve", is_flag=True, help="Do not ask; needed where there is nobody to answer.")
@click.option("--json", "as_json", is_flag=True, help="Print what goes as JSON.")
@lock_timeout
def command(  # noqa: PLR0913  one parameter for each option
    recipe: str,
    *,
    keep: int,
    older_than: float,
    checkpoints: bool,
    unfinished: bool,
    shared: bool,
    dry_run: bool,
    auto_approve: bool,
    as_json: bool,
    lock_timeout: float,
) -> None:
    """Remove what nothing that RECIPE's state names needs any more: superseded results, and what killed runs left.

    What the state names as current stays, and so does an interrupted run. The newest superseded result of each address
    stays too, so that undoing the last edit costs nothing. History remembers all.
    """
    project = open_project(recipe)
    if shared and project.shared is None:
        raise usage_problem("The recipe shares no artifacts.", '`[state] artifacts = "s3://..."` says where to.')
    policy, began = Policy(keep, older_than, checkpoints, unfinished), time.time()
    store = project.shared if shared else None

    def look(state: State) -> Collection:
        return find(state, project.layout, policy, store, began)

    found = look(project.state())
    if dry_run or found.is_empty:
        _show(found, store, as_json=as_json)
        return
    if not auto_approve:
        _ask(found, store, as_json=as_json)
    with open_writer(project, origin(project.file, "").author("tune gc"), lock_timeout, say) as writer:
        approved, found = found, look(writer.state)
        if not auto_approve and found != approved:
            detail = "Another command changed what there is before this one had the lock."
            raise problem("Collection has moved", detail, "Run `tune gc` again to see what would go now.")
        collect(found, writer, project.layout, store)
    if as_json:
        click.echo(json.dumps(to_plain(found, removed=True), indent=1))
        return
    if auto_approve:
        _show(found, store, as_json=False)
    click.echo(f"Collected {sizes(found)}.")


def _show(found: Collection, store: SharedStore | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(to_plain(found, removed=False), indent=1))
    else:
        print_collection(console(), found, store.backend.where if store is not None else "")


def _ask(found: Collection, store: SharedStore | None, *, as_json: bool) -> None:
    if not as_json:
        _show(found, store, as_json=False)
    if as_json or not sys.stdin.isatty():
        raise usage_problem(
            "There is nobody to approve this.", "Use --auto-approve, or --dry-run to see what would go."
        )
    click.echo("\nOnly `yes` is accepted to approve.", err=True)
    if click.prompt("Remove all this?", err=True, default="", show_default=False, prompt_suffix=" ") != "yes":
        raise problem("Not approved", "Nothing was removed.")
