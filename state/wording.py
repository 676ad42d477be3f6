"""How messages say what a person wrote, and what they may have meant."""

from __future__ import annotations

import json
from collections.abc import Mapping


def suggestion(word: str, known: list[str]) -> str:
    """The "did you mean" sentence, or "" where nothing is close."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean `{close[0]}`?" if close else ""


def stopped(text: str) -> str:
    """Words of somebody else, at the end of a sentence of ours, with a full stop unless they bring one."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def show(value: object) -> str:
    """A value as a recipe writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)  # which is TOML, too
        case None:
            return "nothing"
        case list() | tuple():
            return f"[{', '.join(show(one) for one in value)}]"
        case Mapping():
            return "a table"
        case _:
            return str(value)
