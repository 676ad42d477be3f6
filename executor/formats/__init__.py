"""One module, one dataset `type`: every module in this folder defines `FORMAT`; entry points add others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from executor.format import Format
from executor.plugins import plugins


@cache
def load() -> Mapping[str, Format]:
    """All formats by name."""
    return {one.name: one for one in plugins(__name__, __path__, "FORMAT", "tune.formats", Format)}
