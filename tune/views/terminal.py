"""Where words go: data to standard output, talk to standard error; wrapped to the terminal, coloured if it can."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text


def console(stream: TextIO | None = None) -> Console:
    """A console on a stream (standard output if none is given); plain text where it is not a terminal."""
    file = stream or sys.stdout
    width = None if file.isatty() else 100
    return Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=False, width=width)


def hanging(text: str | Text, indent: int, *, style: str = "") -> Padding:
    """A paragraph whose lines all start at the same column."""
    return Padding(text if isinstance(text, Text) else Text(text, style=style), (0, 0, 0, indent), expand=False)
