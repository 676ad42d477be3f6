"""The verdict on a step that was done again."""

from __future__ import annotations

from rich.console import Console

from executor.applying.replay import Replay
from tune.views.terminal import hanging
from tune.views.words import duration, short

MOST_SHOWN = 20
"""Differences that are named; --json has all."""


def print_replay(out: Console, replay: Replay, seconds: float) -> None:
    """Same or not, and what differs."""
    took = f"{replay.address}: done again in {duration(seconds)}"
    if replay.is_same:
        out.print(hanging(f"{took}; the output is the same, {short(replay.found)}.", 0))
    else:
        out.print(
            hanging(
                f"{took}; the output differs: {short(replay.recorded)} is recorded, {short(replay.found)} came out.", 0
            )
        )
    for one in replay.differences[:MOST_SHOWN]:
        out.print(hanging(one, 2))
    if len(replay.differences) > MOST_SHOWN:
        out.print(hanging(f"and {len(replay.differences) - MOST_SHOWN} more, which --json names", 2))
    for one in replay.circumstances:
        out.print(hanging(one, 2))
    if not replay.is_same and not replay.deterministic:
        hint = (
            "On a GPU, only a run with `deterministic = true` gives the same bits again, on the same type of machine."
        )
        out.print(hanging(f"hint: {hint}", 2, style="cyan"))
