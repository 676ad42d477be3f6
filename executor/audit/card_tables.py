"""Code spans and tables of Markdown that hold whatever is put into them (https://github.github.com/gfm/)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from executor.audit.disclosure import public
from state.canonical import Plain


def code(text: str) -> str:
    """Text as a code span; a fence longer than any run of backticks within keeps it together."""
    line = " ".join(text.splitlines())
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    padding = " " if longest else ""
    fence = "`" * (longest + 1)
    return f"{fence}{padding}{line}{padding}{fence}"


def value(plain: Plain) -> str:
    """A public value as a recipe would have it, as a code span."""
    return code(json.dumps(public(plain), sort_keys=True, ensure_ascii=False))


def figure(plain: Plain) -> str:
    """A number for people, anything else as a value; nothing for nothing."""
    if plain is None:
        return ""
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        return value(plain)
    return f"{plain:,}" if isinstance(plain, int) else f"{plain:.6g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table; nothing where there are no rows."""
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    rule = "|".join("---" for _ in header)
    return [f"| {' | '.join(header)} |", f"|{rule}|", *(f"| {line} |" for line in lines)] if lines else []
