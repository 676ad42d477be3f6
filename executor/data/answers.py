"""Prompts and answers in the fields of a row, plain or as messages, under the names that data uses for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from executor.data.chat_messages import ASSISTANT, Message, RowError
from executor.data.examples import Turns
from executor.data.format import Values
from executor.data.message_fields import MESSAGES, is_chat, names, with_system

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset

PROMPTS = ("prompt", "question", "instruction", "input")
CHOSEN = ("chosen", "chosen_response")
REJECTED = ("rejected", "rejected_response")
COMPLETIONS = ("completion",)


def field_of(values: Values, given: str, usual: tuple[str, ...]) -> str | None:
    """The field that holds something: the one that the recipe names, or the first usual one that the row has."""
    candidates = (given,) if given else usual
    return next((name for name in candidates if values.get(name) is not None), None)


def turns(values: Values, field: str, dataset: Dataset) -> Turns:
    """A text or messages in a field."""
    value = values[field]
    if isinstance(value, str) and not is_chat(value):
        if value:
            return value
        reason = f"has no text in the field `{field}`"
        raise RowError(reason)
    return names(dataset).messages(value, field)


def asked_in(values: Values, dataset: Dataset) -> str | None:
    """The field that holds what is asked; raises RowError where the recipe names one that the row has not."""
    given = dataset.field_prompt or (dataset.field_messages if dataset.field_messages != MESSAGES else "")
    field = field_of(values, given, (*PROMPTS, MESSAGES))
    if field is None and given:
        reason = f"has nothing in the field `{given}`"
        raise RowError(reason)
    return field


def prompt(values: Values, dataset: Dataset) -> Turns | None:
    """What is asked: a text or messages; messages where a system prompt or a list of messages comes with the row."""
    field = asked_in(values, dataset)
    if field is None:
        return None
    asked, system = turns(values, field, dataset), values.get(dataset.field_system)
    more = values.get("input") if field == "instruction" and not dataset.field_prompt else None
    if more and isinstance(more, str) and isinstance(asked, str):  # which belong together, as in Alpaca's rows
        asked = f"{asked}\n{more}"
    if isinstance(asked, str):
        return asked if not system else with_system(as_messages(asked, "user"), system)
    return with_system(asked, system)


def answer(values: Values, given: str, usual: tuple[str, ...], dataset: Dataset) -> Turns:
    """An answer, which must be there."""
    field = field_of(values, given, usual)
    if field is None:
        reason = f"has nothing in the field `{given or usual[0]}`"
        raise RowError(reason)
    return turns(values, field, dataset)


def as_messages(said: Turns, role: str = ASSISTANT) -> tuple[Message, ...]:
    """A text as the message of a role; messages as they are."""
    return ({"role": role, "content": said},) if isinstance(said, str) else said


def alike(asked: Turns, *answers: Turns) -> tuple[Turns, ...]:
    """A prompt and its answers, all plain or all messages."""
    group = (asked, *answers)
    if all(isinstance(one, str) for one in group):
        return group
    return (as_messages(asked, "user"), *(as_messages(one) for one in answers))
