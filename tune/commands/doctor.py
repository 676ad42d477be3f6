"""`tune doctor`: whether this machine is fit for what the recipe asks of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
from attrs import asdict

from executor.doctor import libraries, places
from executor.doctor.finding import Finding, Verdict
from executor.doctor.machine import Machine, this_machine
from executor.doctor.space import Estimate
from planner.overrides import Overrides
from state.diagnostic import ProblemError
from tune.overriding import overriding
from tune.project import Project, open_project
from tune.views.doctor import print_findings
from tune.views.terminal import console

RECIPE = "recipe"
HERE = "."


@click.command()
@click.argument("recipe", default=HERE)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@overriding
@click.pass_context
def command(context: click.Context, recipe: str, *, as_json: bool, overrides: Overrides) -> None:
    """Look at GPUs, drivers, libraries, disk, memory, state and lock, for the plan of RECIPE where there is one.

    Exits with 1 if there is a problem; warnings are none. Nothing is changed.
    """
    findings = tuple(_examine(recipe, overrides))
    problems = sum(one.verdict is Verdict.PROBLEM for one in findings)
    if as_json:
        click.echo(json.dumps({"healthy": not problems, "findings": [asdict(one) for one in findings]}, indent=1))
    else:
        print_findings(console(), findings)
    context.exit(1 if problems else 0)


def _examine(recipe: str, overrides: Overrides) -> Iterator[Finding]:
    machine = this_machine()
    yield from libraries.libraries(machine)
    yield from libraries.devices(machine)
    try:
        project = open_project(recipe, overrides)
    except ProblemError as error:
        yield from libraries.combinations(machine, {})
        verdict = Verdict.OK if recipe == HERE else Verdict.PROBLEM
        yield Finding(RECIPE, "recipe", f"none is looked at: {error.diagnostics[0].detail}", verdict)
        return
    yield from _of_project(project, machine)


def _of_project(project: Project, machine: Machine) -> Iterator[Finding]:
    """What the plan at hand asks of the machine; without a plan, what can be said all the same."""
    try:
        state = project.state()
        plan, _ = project.plan()
    except ProblemError as error:
        yield from libraries.combinations(machine, {})
        yield places.of_problem(RECIPE, project.file.name, error)
    else:
        yield from libraries.combinations(machine, libraries.stages_of(plan.changes))
        todo = f"{len(plan.changes)} of {len(plan.steps)} steps to do" if plan.changes else "nothing to do"
        yield Finding(RECIPE, project.file.name, todo)
        yield from Estimate(plan, state, project.kinds, project.layout, machine.has_gpu).findings()
    yield from _places(project)


def _places(project: Project) -> Iterator[Finding]:
    try:
        yield from places.state(project.store)
        yield from places.lock(project.backend)
        if project.shared is not None:
            yield from places.artifacts(project.shared)
    except ProblemError as error:
        yield places.of_problem(places.AREA, "state", error)
