"""`tune state show`: what made an address, a digest, or any file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from state.diagnostic import ProblemError, problem
from state.durable import write_atomically
from state.files import digest_file
from state.lookup import SHORTEST, Found, by_address, by_digest
from state.plain import record_to_plain
from state.record import State
from state.wording import suggestion
from tune.cli import usage_problem
from tune.project import Project, open_project
from tune.views.state import print_found, print_record
from tune.views.terminal import console


@click.command()
@click.argument("what")
@click.argument("recipe", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
@click.option("--plot", is_flag=True, help="Draw the curves of a training run.")
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the record and its curves to a page."
)
def command(what: str, recipe: str, *, as_json: bool, plot: bool, html: Path | None) -> None:
    """Show the record of WHAT: an address, a digest (its first six digits do), or any file that was ever produced.

    A folder is answered for by its largest file. The record says what it was made from, with which settings, by whom,
    when, where, with which versions, and how good it is.
    """
    project = open_project(recipe)
    state = project.state()
    found = _find(what, state, project)
    if plot or html is not None:
        _show_curves(_only(what, found), state, project, html, as_json=as_json, plot=plot)
        return
    if as_json:
        click.echo(json.dumps([_to_plain(one) for one in found] if len(found) > 1 else _to_plain(found[0]), indent=1))
        return
    if len(found) == 1:
        print_record(console(), found[0], state)
    else:
        print_found(console(), what, found)


def _only(what: str, found: tuple[Found, ...]) -> Found:
    if len(found) > 1:
        detail = f"{len(found)} artifacts hold `{what}`."
        raise usage_problem(detail, "Name one by its address or output digest.")
    return found[0]


def _show_curves(found: Found, state: State, project: Project, html: Path | None, *, as_json: bool, plot: bool) -> None:
    """Curves of a run to the terminal, to a page, or to both."""
    if as_json:
        raise usage_problem(
            "`--json` goes with neither `--plot` nor `--html`.", "`metrics.jsonl` beside the model has the curves."
        )
    from executor.evaluation.curves import last_samples, metrics_of, panels

    run = found.address, found.record, project.layout
    drawn, samples = panels(metrics_of(*run)), last_samples(*run)
    if plot:
        from tune.views.curves import print_curves, print_samples

        print_curves(console(), drawn)
        print_samples(console(), samples)
    if html is not None:
        from tune.views.run_report import run_report

        write_atomically(html, run_report(found, state, drawn, samples).encode())
        click.echo(f"Wrote {html}.", err=True)


def _to_plain(found: Found) -> dict[str, object]:
    where = {"file": found.file} if found.file else {}
    past = {"serial": found.serial} if found.serial else {}
    return {"address": found.address, **where, **past, **record_to_plain(found.record)}


def _find(what: str, state: State, project: Project) -> tuple[Found, ...]:
    """The records that answer; raises ProblemError if none does."""
    at_address = by_address(state, what)
    if at_address is not None:
        return (at_address,)
    path = Path(what)
    if path.is_file():
        found = by_digest(state, project.store.history, digest_file(path)) or _exported(path, state, project)
        if not found:
            raise _never_made(what)
        return found
    largest = _largest_file(path)
    if largest is not None:
        return _find(str(largest), state, project)
    found = by_digest(state, project.store.history, what) if _is_digest(what) else ()
    if not found:
        raise _unknown(what, state, project)
    return found


def _exported(path: Path, state: State, project: Project) -> tuple[Found, ...]:
    """The export that a file lies in: what it wrote anew is in its list of digests, and only that is in the state."""
    from executor.publishing.publication import list_with

    sums = list_with(path)
    return by_digest(state, project.store.history, digest_file(sums)) if sums is not None else ()


def _largest_file(folder: Path) -> Path | None:
    """The file that speaks for a folder: its weights."""
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    return max(files, key=lambda path: (path.stat().st_size, path.as_posix()), default=None)


def _is_digest(what: str) -> bool:
    return all(character in "0123456789abcdef" for character in what)


def _never_made(file: str) -> ProblemError:
    detail = f"`{file}` has other bytes than any file that this state ever produced."
    hint = "It was changed after it was made, or it comes from another recipe."
    return problem("Unknown file", detail, hint)


def _unknown(what: str, state: State, project: Project) -> ProblemError:
    hint = suggestion(what, list(state.records))
    if _is_digest(what) and len(what) < SHORTEST:
        hint = f"Of a digest, {SHORTEST} digits are needed."
    if not state.records:
        hint = "Nothing has been applied yet: run `tune apply`."
    return problem("Unknown address", f"The state of {project.file.name} has no `{what}`.", hint)
