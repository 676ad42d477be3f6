"""`sharegpt`: `conversations` of `from` and `value`, where a human and a gpt talk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve

from executor.data.chat_messages import ASSISTANT, Message, RowError
from executor.data.embedded_json import from_text
from executor.data.examples import Conversation, Example
from executor.data.format import Values
from executor.data.message_fields import MESSAGES, USUAL, Convention, is_chat, names, tools, with_system
from executor.formats.chat_template import FORMAT as CHAT_TEMPLATE
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset

_CALL = "function_call"
_SHAREGPT = Convention(
    {"role": "from", "content": "value"},
    {
        **USUAL.roles,
        _CALL: _CALL,
        **dict.fromkeys(("chatgpt", "bing", "bard", "model"), ASSISTANT),
        **dict.fromkeys(("observation", "function_response"), "tool"),
    },
    other_roles=False,
)
"""The roles that data of this kind uses (LLaMA-Factory's and Axolotl's readers know the same)."""


def example(values: Values, dataset: Dataset) -> Example:
    """The conversation of a row."""
    usual = dataset.field_messages == MESSAGES and MESSAGES not in values and "conversations" in values
    field = "conversations" if usual else dataset.field_messages
    naming = names(dataset, _SHAREGPT)
    messages = tuple(
        _called(one, number) for number, one in enumerate(naming.messages(values.get(field), field), start=1)
    )
    return Conversation(with_system(messages, values.get(dataset.field_system)), tools(values, dataset.field_tools))


def _called(message: Message, number: int) -> Message:
    """A `function_call` is an answer whose text is a call, or a list of them, as JSON."""
    if message["role"] != _CALL:
        return message
    given: Any = from_text(message["content"])
    calls = given if isinstance(given, list) else [given]
    if not calls or not all(isinstance(call, Mapping) and "name" in call for call in calls):
        reason = f"has a `{_CALL}` in message {number} that is no JSON object with `name` and `arguments`"
        raise RowError(reason)
    made = [{"type": "function", "function": call} for call in calls]
    return {**message, "role": ASSISTANT, "content": "", "tool_calls": made}


def _recognises(values: Values) -> Mapping[str, Plain] | None:
    fields = ("conversations", "conversation", "messages")
    field = next((name for name in fields if is_chat(values.get(name), "from", "value")), None)
    return {"field_messages": field} if field else None


FORMAT = evolve(CHAT_TEMPLATE, name="sharegpt", example=example, recognises=_recognises)
