"""What decides about one resource: what it should be, what is known of its inputs, and what exists already."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from planner.desired import Desired, Inputs
from planner.kind import Kind
from planner.reason import Reason
from state.record import Checkpoint, Record, Superseded
from state.values import frozen


def _nothing_shared(_: str) -> None:
    return None


@frozen
class Local:
    """What only the machine at hand can tell: answers must be cheap, for every plan asks."""

    artifact_missing: Callable[[Record], bool]
    """Whether this machine made the record's artifact and no longer has it whole."""
    usable: Callable[[Record, Checkpoint], bool]
    """Whether a checkpoint of a record may be continued from, as far as this machine can tell."""
    shared: Callable[[str], Record | None] = _nothing_shared
    """What the shared store has under an action key; asked only for what would otherwise have to be built."""
    store: str = ""
    """How messages name the shared store."""


@frozen
class Situation:
    """All that decides about one resource."""

    kind: Kind
    desired: Desired
    inputs: Inputs
    input_records: Mapping[str, tuple[Record, ...]]
    """The records of the inputs whose digests are known, by field."""
    causes: Mapping[str, tuple[Reason, ...]]
    """Why each input changes, by address."""
    record: Record | None
    kept: Mapping[str, Superseded]
    """Everything that was ever made and still exists, at whatever address, by action key."""
    local: Local
