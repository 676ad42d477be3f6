"""`tune verify`: one thing that was made, against its digests, or made once more."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import click
from attrs import asdict

from executor.applying.replay import Replay, Replaying
from executor.applying.verification import Verification
from executor.workers.launch import InterruptedStepError, Stop, run_in_worker
from planner.planfile import diagnostic_to_plain
from state.diagnostic import problem
from tune.cli import INTERRUPTED
from tune.project import Project, open_project
from tune.stopping import stopping
from tune.views.diagnostics import print_diagnostics
from tune.views.replay import print_replay
from tune.views.run import LineView
from tune.views.terminal import console

LOOKED_AT = {"artifacts", "checkpoints", "exports"}
"""What a verification reads of one address; the state is read for all of them."""


@click.command()
@click.argument("address")
@click.argument("recipe", default=".")
@click.option("--replay", is_flag=True, help="Do the step again in a temporary folder, and compare what comes out.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.pass_context
def command(context: click.Context, address: str, recipe: str, *, replay: bool, as_json: bool) -> None:
    """Check what ADDRESS made, byte by byte; with --replay, by making it again from its recorded settings and inputs.

    Exits with 1 if anything differs. Neither state nor artifacts are touched. A replay takes as long as the step took,
    and as much room for temporary files: TMPDIR says where.
    """
    project = open_project(recipe)
    if replay:
        context.exit(_replay(project, address, as_json=as_json))
    if address not in project.state().records:
        raise problem("Unknown address", f"The state has no `{address}`.", "`tune state list` shows all.")
    verification = Verification(project.store, project.layout, project.shared, address)
    verification.run()
    if not verification.found and not LOOKED_AT & verification.checked.keys():
        detail = f"Of {address}, there is nothing on this machine that could be checked."
        hint = "`tune state show` says what it was made from, and where; `tune output --fetch` brings what is shared."
        raise problem("No output", detail, hint)
    if as_json:
        plain = [diagnostic_to_plain(one) for one in verification.found]
        click.echo(json.dumps({"address": address, "intact": not plain, "diagnostics": plain}, indent=1))
    else:
        print_diagnostics(verification.found)
        if not verification.found:
            click.echo(f"{address} is what was written.")
    context.exit(1 if verification.found else 0)


def _replay(project: Project, address: str, *, as_json: bool) -> int:
    began, stop, view = time.monotonic(), Stop(), LineView(console(sys.stderr))
    replaying = Replaying(project.state(), project.kinds, project.layout, run_in_worker, view.show, stop)
    try:
        with stopping(stop, view.urgently), tempfile.TemporaryDirectory(prefix="tune-replay-") as scratch:
            found: Replay = replaying.run(address, Path(scratch))
    except InterruptedStepError:
        return INTERRUPTED
    if as_json:
        click.echo(json.dumps({**asdict(found), "same": found.is_same}, indent=1))
    else:
        print_replay(console(), found, time.monotonic() - began)
    return 0 if found.is_same else 1
