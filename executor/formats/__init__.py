"""One module, one dataset `type`: every module in this folder defines `FORMAT`; entry points add others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

from executor.data.examples import Text
from executor.data.format import Format
from executor.plugins import plugins


@cache
def load() -> Mapping[str, Format]:
    """All formats by name."""
    return {one.name: one for one in plugins(__name__, __path__, "FORMAT", "tune.formats", Format)}


def yielding(examples: Collection[type]) -> tuple[str, ...]:
    """The names of the formats whose rows may become one of these classes of executor.data.examples."""
    return tuple(sorted(name for name, one in load().items() if not set(examples).isdisjoint(one.yields)))


def splittable() -> tuple[str, ...]:
    """The formats that yield plain texts only: of a conversation, the parts would answer what they do not hold."""
    return tuple(sorted(name for name, one in load().items() if set(one.yields) == {Text}))
