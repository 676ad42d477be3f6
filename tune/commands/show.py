"""`tune show`: a saved plan, as `tune plan` printed it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from executor import kinds
from planner import planfile
from state.diagnostic import problem
from tune.views.plan import print_plan
from tune.views.terminal import console


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--all", "everything", is_flag=True, help="Show reused steps too.")
def command(plan: Path, *, as_json: bool, everything: bool) -> None:
    """Show a PLAN that was saved with `tune plan --out`."""
    try:
        text = plan.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        detail = f"`{plan}` cannot be read."
        raise problem("Missing plan", detail, "Save one with `tune plan --out FILE`.") from None
    saved = planfile.loads(text, str(plan))
    if as_json:
        click.echo(json.dumps(planfile.to_plain(saved), indent=1, ensure_ascii=False))
    else:
        print_plan(console(), saved, kinds.load(), everything=everything)
