"""How values, times and actions read; colour is added where they are printed and never carries meaning."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

from planner.diff import Action
from planner.kind import Kinds
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


def verb_of(address: str, kinds: Kinds) -> str:
    """What the kind of an address calls a rebuild."""
    kind = kinds.get(address.partition(".")[0])
    return kind.verb if kind is not None else "rebuild"


LONG = 100
"""Characters after which a value is cut."""
CONTEXT = 20
"""Characters of what two long values share that are told before the first that differs."""


def value(plain: Plain) -> str:
    """A setting's value as a recipe writes it; long ones are cut."""
    return _cut(_written(plain))


def change(before: Plain, after: Plain) -> str:
    """A value and the one that takes its place; of long ones, from shortly before where they part."""
    old, new = _written(before), _written(after)
    if max(len(old), len(new)) > LONG:
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
        if shared > 2 * CONTEXT:
            old, new = (f"...{one[shared - CONTEXT :]}" for one in (old, new))
    return f"{_cut(old)} -> {_cut(new)}"


def _written(plain: Plain) -> str:
    match plain:
        case None:
            return "none"
        case bool():
            return "true" if plain else "false"
        case str():
            return f'"{plain}"'
        case Mapping():
            return "{" + ", ".join(f"{name} = {_written(one)}" for name, one in plain.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(_written(one) for one in plain) + "]"
        case _:
            return f"{plain}"


def _cut(text: str) -> str:
    return text if len(text) <= LONG else f"{text[: LONG - 3]}..."


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
