"""`chat_template`: a list of messages with role and content, or a prompt and a completion that are such lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from executor.data.chat_messages import Message
from executor.data.examples import Conversation, Example
from executor.data.format import Format, Values
from executor.data.message_fields import MESSAGES, is_chat, names, tools, with_system
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset

_LISTS = ("messages", "conversations", "conversation")


def example(values: Values, dataset: Dataset) -> Example:
    """The conversation of a row."""
    usual = dataset.field_messages == MESSAGES and MESSAGES not in values
    if usual and {"prompt", "completion"} <= values.keys():
        messages = _asked_and_answered(values, dataset)
    else:
        messages = names(dataset).messages(values.get(dataset.field_messages), dataset.field_messages)
    return Conversation(with_system(messages, values.get(dataset.field_system)), tools(values, dataset.field_tools))


def _asked_and_answered(values: Values, dataset: Dataset) -> tuple[Message, ...]:
    """TRL's conversational prompt and completion: of the prompt nothing is trained."""
    naming = names(dataset)
    asked = naming.messages(values["prompt"], "prompt")
    answered = naming.messages(values["completion"], "completion")
    return (*({**message, "train": False} for message in asked), *answered)


def _recognises(values: Values) -> Mapping[str, Plain] | None:
    for field in _LISTS:
        if is_chat(values.get(field)):
            return {"field_messages": field}
    both = is_chat(values.get("prompt")) and is_chat(values.get("completion")) and "label" not in values
    return {"field_messages": "messages"} if both else None


FORMAT = Format(
    name="chat_template",
    example=example,
    recognises=_recognises,
    yields=(Conversation,),
    fields=(
        "field_messages", "message_property_mappings", "roles", "message_field_training", "field_system", "field_tools",
        "allow_control_tokens",
    ),
    renders=lambda _: True,
)  # fmt: skip
