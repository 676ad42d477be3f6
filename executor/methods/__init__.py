"""One module, one training method: every module in this folder defines `METHOD`; entry points add others."""

from __future__ import annotations

from collections.abc import Mapping

from executor.plugins import OnDemand
from executor.training.method import Method


def load() -> Mapping[str, Method]:
    """All training methods by name."""
    return OnDemand(__name__, "METHOD", "tune.methods", Method)
