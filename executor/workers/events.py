"""What happens while a plan is applied: a few frozen values, streamed from the worker and shown by the views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from state import plain as plain_values
from state.canonical import Plain
from state.record import Checkpoint
from state.values import frozen


@frozen
class StepStarted:
    """A step is being worked on; `detail` says what is known of it in advance."""

    address: str
    action: str
    detail: str = ""


@frozen
class Progress:
    """How far a step is; values that are not known yet are None."""

    address: str
    done: int
    total: int
    unit: str
    values: Mapping[str, float]
    """By name: loss, learning_rate, grad_norm, epoch, tokens_per_second, eval_loss, memory_gib, next_checkpoint, ...;
    while a training evaluates, `evaluated` of `to_evaluate` batches."""
    seconds_left: float | None


@frozen
class CheckpointWritten:
    """A checkpoint is complete; `kept` are all that are left after rotation, this one last."""

    address: str
    kept: tuple[Checkpoint, ...]


@frozen
class Message:
    """Something that a person should know and that stops nothing."""

    address: str
    text: str


@frozen
class Finished:
    """A worker's last word: what it produced."""

    outcome: Mapping[str, Plain]


@frozen
class Stopped:
    """A worker's last word: it was asked to stop and did, after the given optimizer step (0 for none)."""

    step: int


@frozen
class Crashed:
    """A worker's last word: what went wrong, as plain diagnostics."""

    diagnostics: tuple[Mapping[str, Plain], ...]


@frozen
class StepEnded:
    """A step is over: made, reused, updated, adopted, forgotten, interrupted or failed."""

    address: str
    result: str
    detail: str
    seconds: float
    metrics: Mapping[str, Plain]


WorkerEvent: TypeAlias = Progress | CheckpointWritten | Message | Finished | Stopped | Crashed
Event: TypeAlias = StepStarted | Progress | CheckpointWritten | Message | StepEnded

_NAMES: dict[str, Any] = {
    "step_started": StepStarted,
    "progress": Progress,
    "checkpoint": CheckpointWritten,
    "message": Message,
    "finished": Finished,
    "stopped": Stopped,
    "crashed": Crashed,
    "step_ended": StepEnded,
}
_TYPES = {event: name for name, event in _NAMES.items()}


def to_plain(event: WorkerEvent | Event) -> dict[str, Plain]:
    """The event as one JSON object, told apart by `type`."""
    return {"type": _TYPES[type(event)], **plain_values.record_to_plain(event)}


def from_plain(plain: Mapping[str, Plain]) -> WorkerEvent | Event:
    """The reverse of `to_plain`."""
    fields = {name: value for name, value in plain.items() if name != "type"}
    event: WorkerEvent | Event = plain_values.from_plain(fields, _NAMES[str(plain["type"])])
    return event
