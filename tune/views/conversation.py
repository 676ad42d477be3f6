"""Answers of models: one as it is written, two side by side where there is room."""

from __future__ import annotations

from collections.abc import Mapping

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from executor.evaluation.conversation import Conversation

SIDE_BY_SIDE = 110
"""Columns from which on two answers stand beside each other."""


def stream_answer(conversation: Conversation, text: str) -> None:
    """Print an answer piece by piece, to standard output."""

    def write(piece: str) -> None:
        click.echo(piece, nl=False)

    conversation.ask(text, write)
    click.echo()


def show_answers(console: Console, conversations: Mapping[str, Conversation], text: str) -> None:
    """Ask all the same: stacked, each as it is written; or in columns, when all are there."""
    if console.width < SIDE_BY_SIDE:
        for number, (name, one) in enumerate(conversations.items()):
            console.print(f"{'' if number == 0 else chr(10)}{name}:", style="bold")
            stream_answer(one, text)
        return
    answers = [one.ask(text, lambda _: None) for one in conversations.values()]
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0))
    for name in conversations:
        table.add_column(name, ratio=1, overflow="fold")  # a word that is too long is part of the answer
    table.add_row(*(Text(answer) for answer in answers))
    console.print(table)
