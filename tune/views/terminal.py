"""Where words go: data to standard output, talk to standard error; wrapped to the terminal, coloured if it can."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from state.values import frozen

PLAIN_WIDTH = 100
"""Columns where there is no terminal to ask, so that logs and tests look the same everywhere."""
PLAIN_HEIGHT = 25
"""Lines of a terminal that does not know them."""


def console(stream: TextIO | None = None) -> Console:
    """A console on a stream (standard output if none is given); plain text where it is not a terminal."""
    file = stream or sys.stdout
    # Not by COLUMNS: readline sets it to 80 for all children of a process that has loaded it, whoever looks at them.
    width, height = _size(file) if file.isatty() else (PLAIN_WIDTH, None)
    return Console(file=file, highlight=False, markup=False, emoji=False, width=width, height=height)


def _size(file: TextIO) -> tuple[int | None, int | None]:
    """Columns and lines of a terminal that rich would not ask for them; nothing of one that it asks again and again."""
    if os.environ.get("TERM", "").lower() not in ("dumb", "unknown"):
        return None, None
    found = os.get_terminal_size(file.fileno())
    return found.columns or PLAIN_WIDTH, found.lines or PLAIN_HEIGHT


@frozen
class Hanging:
    """A paragraph whose lines all start at the same column and end where their words end."""

    text: Text
    indent: int
    label: str = ""
    """Stands in front of the first line, within the indentation."""
    label_style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Break between words at the width that there is."""
        for number, line in enumerate(self.text.wrap(console, max(20, options.max_width - self.indent))):
            line.rstrip()
            label = (self.label if number == 0 else "").ljust(self.indent)
            # Assembled, because rich leaves the style of a text without styled parts to whoever prints it.
            yield from Text.assemble((label, self.label_style), line, end="").render(console)
            yield Segment.line()


def hanging(text: str | Text, indent: int, *, style: str = "") -> Hanging:
    """The text as an indented paragraph."""
    return Hanging(text if isinstance(text, Text) else Text(text, style=style), indent)
