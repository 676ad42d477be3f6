"""`tune plan`: what an edit costs, and why; acts on nothing."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from planner.diff import WORKS
from planner.overrides import Overrides
from planner.plan import Plan, Selection, Step
from state.diagnostic import Diagnostic, ProblemError, Severity, problem
from state.durable import write_atomically
from state.lock import is_dead, read_owner
from state.plain import as_bytes
from state.wording import suggestion
from tune.cli import keep, usage_problem
from tune.overriding import overriding
from tune.project import Project, open_project
from tune.selecting import selecting


@click.command()
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the plan as one comment for a pull request.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for `tune apply FILE`.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if there are changes, 0 if there are none.")
@click.option("--why", metavar="ADDRESS", help="Explain one step: the whole chain of its reasons.")
@click.option("--all", "everything", is_flag=True, help="Show reused steps too.")
@selecting
@click.option("--strict", is_flag=True, help="Refuse to assume that data which cannot be read here is unchanged.")
@click.option(
    "--verify", is_flag=True, help="Read every byte of the artifacts here, and ask the hub whether revisions moved."
)
@overriding
@click.pass_context
def command(  # noqa: PLR0913  one parameter for each option
    context: click.Context,
    recipe: str,
    *,
    as_json: bool,
    as_markdown: bool,
    out: Path | None,
    detailed_exitcode: bool,
    why: str | None,
    everything: bool,
    strict: bool,
    verify: bool,
    selection: Selection,
    overrides: Overrides,
) -> None:
    """Compare RECIPE (a file, or a folder with a recipe.toml) with its state."""
    gc.disable()  # a plan makes much and drops little: looking for circles of garbage takes a twentieth of its time
    if sum((as_json, as_markdown, why is not None)) > 1:
        raise usage_problem("--json, --markdown and --why each print the plan in another form.", "Choose one.")
    project = open_project(recipe, overrides)
    name = os.path.relpath(project.file)
    with _told_in_markdown(name) if as_markdown else nullcontext():
        plan, _ = project.plan(strict=strict, verify=verify, selection=selection)
    keep(project, plan)
    _warn_of_apply(project)
    _warn_of_libraries({step.kind for step in plan.steps if step.action in WORKS})
    if out is not None:
        _save(plan, out.resolve(), project.file)
    if as_json:
        from planner import planfile

        click.echo(json.dumps(planfile.to_plain(plan), indent=1, ensure_ascii=False))
    elif as_markdown:
        from planner.metric_history import earlier_metrics
        from tune.views.markdown import markdown

        measured = earlier_metrics(plan, project.state(), "eval")
        click.echo(markdown(plan, project.kinds, name, str(out or ""), measured), nl=False)
    elif why is not None:
        from tune.views.plan import print_why
        from tune.views.terminal import console

        print_why(console(), plan, _step(plan, why), project.kinds)
    else:
        _print(plan, project, everything=everything)
        if out is not None:
            click.echo(f"\nSaved to {out}. To do exactly this:\n  tune apply {out}", err=True)
    context.exit(2 if detailed_exitcode and plan.changes else 0)


def _warn_of_libraries(kinds: Collection[str]) -> None:
    if kinds:
        from tune.machine_warnings import warn_of_libraries

        warn_of_libraries(kinds)


def _print(plan: Plan, project: Project, *, everything: bool) -> None:
    """The plan as text; loading what wraps and colours it would take longest of all where there is nothing to show."""
    if not (plan.changes or plan.diagnostics or plan.left_out or everything):
        from tune.views.footer import footer

        click.echo(footer(plan))
        return
    from tune.views.plan import print_plan
    from tune.views.terminal import console

    print_plan(console(), plan, project.kinds, everything=everything)


@contextmanager
def _told_in_markdown(recipe: str) -> Iterator[None]:
    """Where nothing can be planned, the comment says so, lest an earlier one be taken for the plan."""
    try:
        yield
    except ProblemError as error:
        from tune.views.markdown import problems

        click.echo(problems(error.diagnostics, recipe), nl=False)
        raise


def _step(plan: Plan, address: str) -> Step:
    found = next((step for step in plan.steps if step.address == address), None)
    if found is None:
        known = [step.address for step in plan.steps]
        detail = f"The plan has no step `{address}`."
        raise problem("Unknown address", detail, suggestion(address, known) or f"Known: {', '.join(known)}.")
    return found


def _warn_of_apply(project: Project) -> None:
    """A plan made while another process applies shows what would be left if that process died now."""
    owner = read_owner(project.backend)
    if owner is not None and not is_dead(owner):
        from tune.views.diagnostics import print_diagnostics

        detail = f"The lock is held by {owner}. Its step in progress is shown as if it had been interrupted now."
        print_diagnostics([Diagnostic("Apply in progress", detail, severity=Severity.WARNING)])


def _save(plan: Plan, path: Path, recipe: Path) -> None:
    from planner import planfile

    write_atomically(path, as_bytes(planfile.dumps(plan, os.path.relpath(recipe, path.parent))))
