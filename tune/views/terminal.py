"""Where words go: data to standard output, talk to standard error; wrapped to the terminal, coloured if it can."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from state.values import frozen

PLAIN_WIDTH = 100
"""Columns where there is no terminal to ask, so that logs and tests look the same everywhere."""


def console(stream: TextIO | None = None) -> Console:
    """A console on a stream (standard output if none is given); plain text where it is not a terminal."""
    file = stream or sys.stdout
    # Not by COLUMNS: readline sets it to 80 for all children of a process that has loaded it, whoever looks at them.
    width = None if file.isatty() else PLAIN_WIDTH
    return Console(file=file, highlight=False, markup=False, emoji=False, width=width)


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
