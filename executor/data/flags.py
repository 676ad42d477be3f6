"""Yes or no, as data files write it."""

from __future__ import annotations

_WORDS = {"true": True, "1": True, "false": False, "0": False}


def flag(value: object) -> bool | None:
    """True or false, also as the number or the word that tables hold; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float | str):
        return _WORDS.get(str(value).lower().removesuffix(".0"))
    return None
