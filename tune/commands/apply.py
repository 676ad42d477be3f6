"""`tune apply`: does what a plan says, or less, and records it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import click
from attrs import evolve

from executor.applying.apply import GateFailedError, Result, apply, unshared
from executor.applying.means import Means
from executor.applying.provenance import origin
from executor.workers.launch import Stop
from executor.workers.nodes import build_on_nodes
from executor.workers.world import Host
from planner import planfile
from planner.desired import Desired
from planner.overrides import Overrides
from planner.plan import Plan, Selection
from planner.reason import ArtifactMissing
from planner.staleness import beside, bound, moved
from state.diagnostic import NOWHERE, Diagnostic, ProblemError, problem
from state.lock import read_owner
from state.values import frozen
from tune.cli import INTERRUPTED, usage_problem
from tune.following import follow_first_node
from tune.overriding import overriding
from tune.placing import placing
from tune.project import Project, open_project
from tune.selecting import selecting
from tune.stopping import stopping
from tune.views.diagnostics import print_diagnostics
from tune.views.footer import footer
from tune.views.plan import print_plan
from tune.views.run import JsonView, LineView, LiveView, View
from tune.views.terminal import console
from tune.writing import Duration, lock_timeout, open_writer, say

GATE_FAILED = 3
"""Exit code of an apply whose gate failed."""


@click.command()
@click.argument("recipe_or_plan", default=".")
@click.option("--auto-approve", is_flag=True, help="Do not ask; needed where there is nobody to answer.")
@click.option("--json", "as_json", is_flag=True, help="Print events, one JSON object a line.")
@click.option("--expect-digest", metavar="DIGEST", help="Refuse any plan but the one with this digest.")
@selecting
@click.option("--strict", is_flag=True, help="Refuse to assume that data which cannot be read here is unchanged.")
@click.option(
    "--verify", is_flag=True, help="Read every byte of the artifacts here, and ask the hub whether revisions moved."
)
@lock_timeout
@click.option(
    "--stop-within",
    type=Duration(),
    metavar="DURATION",
    help="How long saving may take after Ctrl-C or SIGTERM, on machines that go away by then (30s, 2m).",
)
@placing
@overriding
@click.pass_context
def command(  # noqa: PLR0913  one parameter for each option
    context: click.Context,
    recipe_or_plan: str,
    *,
    auto_approve: bool,
    as_json: bool,
    expect_digest: str | None,
    strict: bool,
    verify: bool,
    selection: Selection,
    lock_timeout: float,
    stop_within: float | None,
    host: Host,
    overrides: Overrides,
) -> None:
    """Make the models match RECIPE_OR_PLAN: a recipe, a folder with a recipe.toml, or a file from `tune plan --out`."""
    saved = _saved_plan(Path(recipe_or_plan))
    project = open_project(recipe_or_plan, overrides) if saved is None else _as_planned(*saved, overrides)
    if host.node_rank:
        context.exit(follow_first_node(project, host, _view(as_json=as_json), Stop(stop_within)))
    if saved is not None:
        selection = _as_selected(saved[0], selection)
        verify = verify or _misses_artifacts(saved[0])
    current, desired = project.plan(strict=strict, verify=verify, selection=selection)
    plan = current if saved is None else _still_valid(saved[0], current)
    # What was approved is the plan that was saved, though another step's record has moved the state on since then.
    shown = plan if saved is None else saved[0]
    digest = str(planfile.to_plain(shown)["plan_digest"])
    if expect_digest is not None and not digest.startswith(expect_digest):
        detail = f"The plan has the digest {digest}, and {expect_digest} was approved."
        raise problem("Plan not approved", detail, "See what changed with `tune plan`.")
    if not as_json:
        print_plan(console(), shown, project.kinds)
    if saved is not None and (others := beside(saved[0], current)):
        say(f"Changed since the plan was made, and left for another one: {', '.join(others)}.")
    if plan.changes:
        _check_commit(project)
    if plan.changes and not (auto_approve or saved is not None or expect_digest is not None):
        _ask(as_json=as_json)
    if plan.changes or _left_undone(project):
        approved = None if auto_approve and saved is None and expect_digest is None else plan
        replan = partial(project.plan, strict=strict, verify=verify, selection=selection)
        terms = _Terms(lock_timeout, stop_within, host, verify, approved, replan)
        code = _apply(project, plan, desired, digest, _view(as_json=as_json), terms)
        project.digests.save()  # the first apply has made the folder in which they are remembered
        context.exit(code)


@frozen
class _Terms:
    """How many seconds are waited, for the lock and for a step to save (None: as it takes), and which node this is."""

    lock: float
    stop: float | None
    host: Host
    verify: bool
    """Whether the bytes of artifacts are read before they are relied on."""
    approved: Plan | None
    """What no later plan may go beyond; None where whatever is to be done may be."""
    replan: Callable[[], tuple[Plan, Mapping[str, Desired]]]

    def of_now(self) -> tuple[Plan, Mapping[str, Desired]]:
        """What is left to do of what was approved, of a state that somebody wrote while the lock was waited for."""
        current, desired = self.replan()
        return current if self.approved is None else _still_valid(self.approved, current), desired


def _saved_plan(path: Path) -> tuple[Plan, Path] | None:
    """A saved plan and the recipe that it is for; None if the path is no plan."""
    if not path.is_file() or path.suffix != ".json":
        return None
    text = path.read_text(encoding="utf-8")
    return planfile.loads(text, str(path)), path.parent / planfile.location(text)


def _as_planned(saved: Plan, recipe: Path, overrides: Overrides) -> Project:
    """The project of a saved plan, with what was given when it was made."""
    if overrides.variables or overrides.settings:
        raise usage_problem("A saved plan remembers --var and --set.", "Leave them out, or make another plan.")
    return open_project(str(recipe), saved.overrides)


def _as_selected(saved: Plan, selection: Selection) -> Selection:
    """What a saved plan was asked for."""
    if selection != Selection():
        hint = "Leave them out, or make another plan."
        raise usage_problem("A saved plan remembers --target, --exclude and --replace.", hint)
    return saved.selection


def _misses_artifacts(saved: Plan) -> bool:
    """Whether a plan makes something again because of its files, which then have to be looked at as closely again."""
    return any(isinstance(one, ArtifactMissing) for step in saved.steps for one in step.reasons)


def _still_valid(saved: Plan, current: Plan) -> Plan:
    """What is to be done of a saved plan, bound to the state as it is, if all that this depends on is as it was."""
    found = moved(saved, current)
    if found:
        hint = "Make a new plan: `tune plan --out FILE`."
        raise ProblemError([Diagnostic("Plan is stale", one, hint) for one in found])
    return bound(saved, current)


def _check_commit(project: Project) -> None:
    """Refuse what cannot be traced to a commit, where the recipe's policy asks for one."""
    limits = project.recipe().limits
    if limits.policy.allow_dirty_git:
        return
    made = origin(project.file, "")
    if made.git_dirty or not made.git_commit:
        why = "differs from its commit" if made.git_commit else "is in no git repository with a commit"
        hint = "Commit it first, so that what is made can be traced to it."
        raise problem("Policy", f"The recipe's folder {why}.", hint, limits.place("allow_dirty_git"))


def _ask(*, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise usage_problem("There is nobody to approve the plan.", "Use --auto-approve, or apply a saved plan.")
    click.echo("\nOnly `yes` is accepted to approve.", err=True)
    if click.prompt("Apply this plan?", err=True, default="", show_default=False, prompt_suffix=" ") != "yes":
        raise problem("Not approved", "Nothing was done.")


def _view(*, as_json: bool) -> View:
    if as_json:
        return JsonView(sys.stdout)
    return LiveView(console()) if sys.stdout.isatty() else LineView(console())


def _left_undone(project: Project) -> bool:
    """Whether a killed apply left something to record, or an artifact is not in the shared store yet."""
    recorded = project.store.load()
    return (
        project.state() != recorded
        or read_owner(project.backend) is not None
        or bool(unshared(recorded, project.shared))
    )


def _apply(project: Project, plan: Plan, desired: Mapping[str, Desired], digest: str, view: View, terms: _Terms) -> int:
    stop = Stop(terms.stop)
    made = origin(project.file, digest)
    with (
        stopping(stop, view.urgently),
        view,
        open_writer(project, made.author("tune apply"), terms.lock, view.note) as writer,
    ):
        means = Means(
            kinds=project.kinds,
            layout=project.layout,
            writer=writer,
            store=project.shared,
            origin=made,
            build=partial(build_on_nodes, owner=writer.lock.owner.id),
            emit=view.show,
            stop=stop,
            host=terms.host,
            content=project.content if terms.verify else None,
        )
        if writer.found != plan.state.digest:
            plan, desired = terms.of_now()
            view.note(f"The state was written before this command had the lock. {footer(plan)}")
        result = _placed(apply(plan, desired, means), project)
        view.end(result)
    return _exit_code(result)


def _placed(result: Result, project: Project) -> Result:
    """The result; what went wrong in a step is told at the step's table, unless it has a better place."""
    if result.failure is None or not result.failed:
        return result
    resource = project.recipe().resources.get(result.failed)
    place = resource.place() if resource is not None else NOWHERE
    return evolve(result, failure=type(result.failure)(one.at(place) for one in result.failure.diagnostics))


def _exit_code(result: Result) -> int:
    if result.failure is not None:
        print_diagnostics(result.failure.diagnostics)
        return GATE_FAILED if isinstance(result.failure, GateFailedError) else 1
    return INTERRUPTED if result.interrupted else 0
