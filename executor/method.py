"""The contract of a training method: its recipe fields and how it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen


@frozen
class Method:
    """A way to train. One module in `executor/methods/` defines one, as `METHOD`."""

    name: str
    specification: type
    """The recipe's fields: a subclass of executor.stage.Stage."""
    learns_from: tuple[type, ...]
    """The classes of executor.examples that it trains on."""
    trainer_arguments: frozenset[str]
    """Names that the trainer's own configuration class accepts."""
    train: Callable[..., Any]
    """(executor.training.Run) -> a trainer of transformers' kind, ready to train."""
