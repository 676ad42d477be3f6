"""One module, one dataset `type`: every module in this folder defines `FORMAT`; entry points add others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

from executor.data.format import Format
from executor.plugins import OnDemand


@cache
def load() -> Mapping[str, Format]:
    """All formats by name."""
    return OnDemand(__name__, "FORMAT", "tune.formats", Format)


def yields(name: str, examples: Collection[type]) -> bool:
    """Whether rows of a format may become one of these classes of executor.data.examples."""
    return not set(examples).isdisjoint(load()[name].yields)


def yielding(examples: Collection[type]) -> tuple[str, ...]:
    """The names of all formats that do."""
    return tuple(sorted(name for name in load() if yields(name, examples)))


def is_splittable(name: str) -> bool:
    """Whether a format yields plain texts only: of a conversation, the parts would answer what they do not hold."""
    from executor.data.examples import Text

    return set(load()[name].yields) == {Text}


def splittable() -> tuple[str, ...]:
    """The names of all formats that do."""
    return tuple(sorted(filter(is_splittable, load())))
