"""What diagnostics mean: the stable code of each summary, and its section in `diagnostics.md` beside this module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from state.values import frozen

SOURCE = Path(__file__).parent / "diagnostics.md"
_SECTION = r"^### (TUNE\d{3}): (.+?)\n\n(.+?)(?=^##|\Z)"


@frozen
class Explanation:
    """One section: what a diagnostic means, why it matters, and what to do about it."""

    code: str
    """`TUNE` and three digits, never given to anything else."""
    summary: str
    text: str
    """Markdown."""


@cache
def explanations() -> Mapping[str, Explanation]:
    """All of them by the summary that they explain, in the order of the page."""
    page = SOURCE.read_text(encoding="utf-8")
    found = (Explanation(*match.groups()) for match in re.finditer(_SECTION, page, re.MULTILINE | re.DOTALL))
    return {one.summary: one for one in found}


def code_of(summary: str) -> str:
    """The code of a summary; "" for one that tune itself does not tell, such as a plugin's."""
    found = explanations().get(summary)
    return found.code if found is not None else ""
