"""One module, one kind: every module in this folder defines `KIND`; other distributions add theirs by entry point."""

from __future__ import annotations

from executor.plugins import OnDemand
from planner.kind import Kind, Kinds


def load() -> Kinds:
    """All kinds by name."""
    return OnDemand(__name__, "KIND", "tune.kinds", Kind)
