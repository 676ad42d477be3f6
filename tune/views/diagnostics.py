"""Problems as messages: what is wrong, where, and what to do; the same words every time."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from state.diagnostic import Diagnostic, Severity
from state.secrets import without_secrets
from tune.views.terminal import console, hanging
from tune.views.words import plural

_ENDLESS = re.compile(r"(\S{200})\S{200,}(\S{20})")
"""A word of which a reader needs both ends at most: a path of a thousand characters, a file that became a name."""


def print_diagnostics(diagnostics: Sequence[Diagnostic], *, in_vain: bool = False) -> None:
    """All of them to standard error, with their number at the end if there are many; `in_vain`: nothing was done."""
    out = console(sys.stderr)
    for diagnostic in diagnostics:
        render(out, diagnostic)
    count = sum(one.severity is Severity.ERROR for one in diagnostics)
    if count > 1:
        out.print(Text(f"{plural(count, 'problem')} found{'; nothing was done' if in_vain else ''}."))


def render(out: Console, diagnostic: Diagnostic) -> None:
    """One diagnostic: place and summary, then the detail, then the hint."""
    is_error = diagnostic.severity is Severity.ERROR
    head = Text()
    if diagnostic.place.file:
        head.append(f"{diagnostic.place}: ", style="bold")
    head.append("Error: " if is_error else "Warning: ", style="red" if is_error else "yellow")
    head.append(diagnostic.summary, style="bold")
    if diagnostic.code:
        head.append(f" [{diagnostic.code}]", style="dim")
    out.print(head, soft_wrap=True)
    out.print(hanging(_shown(diagnostic.detail), 2))
    if diagnostic.hint:
        out.print(hanging(f"hint: {_shown(diagnostic.hint)}", 2, style="cyan"))


def _shown(text: str) -> str:
    """A text without secrets, and without the middle of words that would fill the screen."""
    return _ENDLESS.sub(r"\1...\2", without_secrets(text))
