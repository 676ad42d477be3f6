"""How values, times and actions read; colour is added where they are printed and never carries meaning."""

from __future__ import annotations

from collections.abc import Mapping

from planner.diff import Action
from state.canonical import Plain

SYMBOLS = {
    Action.BUILD: "+",
    Action.REBUILD: "-/+",
    Action.RESUME: "~",
    Action.EXTEND: "~",
    Action.UPDATE: "~",
    Action.ADOPT: "<=",
    Action.MOVE: ">",
    Action.FORGET: ".",
    Action.REUSE: "=",
}
COLOURS = {
    Action.BUILD: "green",
    Action.REBUILD: "yellow",
    Action.RESUME: "cyan",
    Action.EXTEND: "cyan",
    Action.UPDATE: "blue",
    Action.ADOPT: "blue",
    Action.MOVE: "blue",
    Action.FORGET: "red",
    Action.REUSE: "dim",
}


def value(plain: Plain) -> str:
    """A setting's value as a recipe writes it; long ones are cut."""
    match plain:
        case None:
            return "none"
        case bool():
            text = "true" if plain else "false"
        case str():
            text = f'"{plain}"'
        case Mapping():
            text = "{" + ", ".join(f"{name} = {value(one)}" for name, one in plain.items()) + "}"
        case list() | tuple():
            text = "[" + ", ".join(value(one) for one in plain) + "]"
        case _:
            text = f"{plain}"
    return text if len(text) <= 100 else f"{text[:97]}..."  # noqa: PLR2004  as long as a line


def duration(seconds: float) -> str:
    """A time span in words, two units at most."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def plural(count: int, singular: str) -> str:
    """A number and its noun."""
    return f"{count} {singular}" if count == 1 else f"{count} {singular}s"


def short(digest: str) -> str:
    """Enough of a digest to tell it apart."""
    return digest[:12]
