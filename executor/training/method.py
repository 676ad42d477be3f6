"""The contract of a training method: its recipe fields and how it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from executor.tokens.row_layout import LEARNT_FROM, RowLayout
from executor.training.stage import Stage
from planner.effects import fields
from state.values import frozen

Fault: TypeAlias = tuple[str, str, str]
"""A dotted field, what is wrong with it, and what to do."""


def _no_faults(_: object) -> Iterator[Fault]:
    return iter(())


@frozen
class Method:
    """A way to train. One module in `executor/methods/` defines one, as `METHOD`."""

    name: str
    specification: type
    """The recipe's fields: a subclass of executor.training.stage.Stage."""
    trainer_arguments: frozenset[str]
    """Names that the trainer's own configuration class accepts."""
    train: Callable[..., Any]
    """(executor.training.training_run.Run) -> a trainer of transformers' kind, ready to train."""
    layout: RowLayout = "documents"
    """What its token rows are like."""
    faults: Callable[[Any], Iterator[Fault]] = _no_faults
    """What is wrong with the fields of its own together."""

    @property
    def learns_from(self) -> tuple[type, ...]:
        """The classes of executor.data.examples that it trains on."""
        return LEARNT_FROM[self.layout]

    @property
    def own_fields(self) -> frozenset[str]:
        """The recipe fields that it has beside those of every stage."""
        return frozenset(fields(self.specification)) - frozenset(fields(Stage))
