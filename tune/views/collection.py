"""What a collection removes, as people and as machines read it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from executor.applying.collection import Collection
from state.canonical import Plain
from tune.views.terminal import hanging
from tune.views.words import plural

UNITS = ("B", "kB", "MB", "GB", "TB")
STEP = 1000


def print_collection(out: Console, found: Collection, store: str) -> None:
    """Everything that goes, each with its reason and its size, and the sum."""
    for link in found.links:
        out.print(hanging(f"Not looked into: .tune/{link} is a symbolic link.", 0))
    if found.is_empty:
        out.print(Text("Nothing to collect."))
        return
    for one in found.waste:
        name = f".tune/{one.name}" if one.is_here else one.name
        out.print(Text(f"  - {name}  {_bytes(one.size)}"), soft_wrap=True)
        out.print(hanging(one.why, 8))
    if found.shared:
        size = sum(one.size for one in found.shared)
        out.print(Text(f"  - {plural(len(found.shared), 'object')} in {store}  {_bytes(size)}"), soft_wrap=True)
        out.print(hanging("of what no state relies on any more", 8))
    out.print(Text(f"\nTo collect: {sizes(found)}."))
    if found.forgotten:
        out.print(
            hanging(f"The state forgets {plural(len(found.forgotten), 'superseded record')}; history does not.", 0)
        )
    if found.emptied:
        count = len(found.emptied)
        out.print(hanging(f"{plural(count, 'finished run')} cannot be extended any more, but trained anew.", 0))


def sizes(found: Collection) -> str:
    """How much goes, in words."""
    return f"{plural(sum(one.is_here for one in found.waste) + len(found.shared), 'path')}, {_bytes(found.size)}"


def to_plain(found: Collection, *, removed: bool) -> dict[str, Plain]:
    """The same for machines."""
    return {
        "removed": removed,
        "paths": [
            {"path": f".tune/{one.name}", "why": one.why, "bytes": one.size} for one in found.waste if one.is_here
        ],
        "shared": [{"name": one.name, "bytes": one.size} for one in found.shared],
        "superseded": list(found.forgotten),
        "without_checkpoints": list(found.emptied),
        "not_followed": [f".tune/{link}" for link in found.links],
        "bytes": found.size,
    }


def _bytes(size: float) -> str:
    """A size in the largest unit of which there is at least one."""
    unit = 0
    while size >= STEP and unit < len(UNITS) - 1:
        size, unit = size / STEP, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if unit else f"{size:.0f} {UNITS[0]}"
