"""`tune chat`: talk to a model that was made, or to two side by side."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from executor.applying.finished_models import foundations, located, newest
from executor.applying.shelf import Shelf
from executor.evaluation.conversation import Conversation, Sampling, open_conversation
from state.diagnostic import ProblemError
from tune.cli import usage_problem
from tune.project import Project, open_project
from tune.views.conversation import show_answers, stream_answer
from tune.views.diagnostics import print_diagnostics
from tune.views.run import LineView
from tune.views.terminal import console
from tune.writing import say


@click.command()
@click.argument("address", required=False)
@click.argument("recipe", default=".")
@click.option("--prompt", metavar="TEXT", help="Print one answer, and end.")
@click.option("--compare", nargs=2, metavar="A B", help="Ask two models the same.")
@click.option("--system", metavar="TEXT", default="", help="A system message in front of the conversation.")
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=512, show_default=True)
@click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True, help="0: the likeliest.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is drawn at a temperature above 0.")
def command(  # noqa: PLR0913  one parameter for each option
    address: str | None,
    recipe: str,
    *,
    prompt: str | None,
    compare: tuple[str, str] | None,
    system: str,
    max_new_tokens: int,
    temperature: float,
    seed: int,
) -> None:
    """Talk to ADDRESS: an adapter, a merged model or a base, with the chat template that it was trained with.

    Without ADDRESS, to the model that was finished last. Ctrl-C ends an answer, and then the chat.
    """
    if prompt is None and not sys.stdin.isatty():
        raise usage_problem("There is nobody to talk to.", "Use --prompt where standard input is not a terminal.")
    names_recipe = address is not None and Path(address).exists()
    if compare and address is not None and not names_recipe:
        raise usage_problem("--compare names both models; ADDRESS would be a third.", "Leave ADDRESS out.")
    project = open_project(str(address) if names_recipe else recipe)
    chosen = compare or ((address if address and not names_recipe else newest(project.state())),)
    sampling = Sampling(max_new_tokens, temperature, seed)
    talks = {one: _open(project, one, sampling, system) for one in chosen}
    if prompt is not None:
        _answer(talks, prompt)
    else:
        _converse(talks)


def _open(project: Project, address: str, sampling: Sampling, system: str) -> Conversation:
    shelf = Shelf(project.layout, project.shared, LineView(console(sys.stderr)).show)
    materials = foundations(address, project.state())
    say(f"Loading {address}.")
    found = located(materials, project.kinds, shelf, project.file.parent)
    return open_conversation(found, project.file.parent, sampling, system)


def _answer(talks: dict[str, Conversation], text: str) -> None:
    if len(talks) == 1:
        stream_answer(next(iter(talks.values())), text)
    else:
        show_answers(console(), talks, text)


def _converse(talks: dict[str, Conversation]) -> None:
    """Question and answer, until there is no more question."""
    import readline  # noqa: F401  gives `input` its history and its keys

    while True:
        try:
            text = input("> ")
        except (EOFError, KeyboardInterrupt):
            click.echo()
            return
        if not text.strip():
            continue
        try:
            _answer(talks, text)
        except KeyboardInterrupt:
            click.echo("\n(stopped)", err=True)
        except ProblemError as error:
            print_diagnostics(error.diagnostics)
