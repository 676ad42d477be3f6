"""The section of a diagnostic as text for a terminal."""

from __future__ import annotations

from rich.text import Text

from state.explanations import Explanation
from tune.views.terminal import console, hanging


def print_explanation(explanation: Explanation) -> None:
    """Code and summary, then each paragraph, wrapped to the terminal."""
    out = console()
    out.print(Text.assemble((f"{explanation.code}: {explanation.summary}", "bold")))
    for paragraph in explanation.text.strip().split("\n\n"):
        out.print()
        out.print(hanging(paragraph.replace("\n", " ").replace("**", ""), 2))
