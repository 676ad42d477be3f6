"""Chat messages as rows hold them: what is wrong with one, and what no data may contain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, TypeAlias

Message: TypeAlias = Mapping[str, Any]

ASSISTANT = "assistant"
REASONING = ("reasoning_content", "thinking", "reasoning")
"""The properties of a message that may hold what is thought before an answer."""


class RowError(Exception):
    """What is wrong with one row and what to do, as the end of a sentence that starts with "This row"."""


def check_content(
    messages: Sequence[Message], control_tokens: Sequence[str], tools: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Raise RowError if a message or tool holds a control token in any text: data must not be able to end a turn."""
    tokens = tuple(control_tokens)
    if not special_tokens_in(_all_texts(messages, tools), tokens):  # nearly always, and found out at once
        return
    places = [*((one, f"message {number}") for number, one in enumerate(messages, start=1)), (tools, "a tool")]
    for value, place in places:
        for text in _texts(value):
            if found := special_tokens_in(text, tokens):
                reason = (
                    f"has the control token {found[0]} in the text of {place}; remove it, or set `allow_control_tokens`"
                )
                raise RowError(reason)


def special_tokens_in(text: str, special_tokens: tuple[str, ...]) -> tuple[str, ...]:
    """The special tokens that a text spells out, in their order in it; the longest where several begin."""
    return tuple(_any_of(special_tokens).findall(text))


@lru_cache(maxsize=8)
def _any_of(tokens: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _all_texts(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None) -> str:
    """All strings of messages and tools, in lines."""
    if tools is None:
        try:
            return "\n".join(chain.from_iterable((*message, *message.values()) for message in messages))
        except TypeError:  # a value is no text
            pass
    return "\n".join(_texts([messages, tools]))


def _texts(value: object) -> list[str]:
    """Every string in a JSON value, keys included; however deeply it is nested."""
    waiting, texts = [value], []
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            texts.append(one)
        elif isinstance(one, (dict, Mapping)):  # the first of them, which is told much faster, is what JSON gives
            waiting += one
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
    return texts


def checked(messages: Sequence[Message]) -> list[Message]:
    """Messages as templates expect them, of plain JSON values: without nulls and our own `train`."""
    if not isinstance(messages, list | tuple):
        reason = f"has no list of messages but a {type(messages).__name__}"
        raise RowError(reason)
    for number, message in enumerate(messages, start=1):
        if wrong := _wrong_with(message):
            reason = f"has a broken message {number}: {wrong}"
            raise RowError(reason)
    return [_message(message) for message in messages]


def checked_tools(tools: object) -> list[dict[str, Any]] | None:
    """Tools as templates expect them; None where there are none. Raises RowError for what is no list of functions."""
    if not tools:
        return None
    if not isinstance(tools, list | tuple):
        reason = f"has no list of tools but a {type(tools).__name__}"
        raise RowError(reason)
    for number, tool in enumerate(tools, start=1):
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            reason = f"has a broken tool {number}: it is no function with a `name`"
            raise RowError(reason)
    return [dict(tool) for tool in tools]


def _wrong_with(message: object) -> str:
    """What keeps a value from being a message; "" if nothing does. An answer that calls tools may have no content."""
    if not isinstance(message, Mapping):
        return f"it is no object with `role` and `content` but a {type(message).__name__}"
    role, content, train = message.get("role"), message.get("content"), message.get("train")
    if not isinstance(role, str) or not role:
        return "its `role` is missing or no text"
    if not isinstance(content, str) and (content is not None or not message.get("tool_calls")):
        return "its `content` is missing or no text"
    if "tool_calls" in message and not _are_calls(message["tool_calls"]):
        return "its `tool_calls` are no list of functions with a `name`"
    return "" if train is None or isinstance(train, bool) else "its `train` is neither true nor false"


def _are_calls(calls: object) -> bool:
    if calls is None:
        return True
    if not isinstance(calls, list | tuple) or not all(isinstance(call, Mapping) for call in calls):
        return False
    functions = [call.get("function", call) for call in calls]
    return all(isinstance(one, Mapping) and isinstance(one.get("name"), str) for one in functions)


def called(message: Message) -> Iterator[Mapping[str, Any]]:
    """The functions that a message calls, with `name` and perhaps `arguments`."""
    return (call.get("function", call) for call in message.get("tool_calls", ()))


def _message(message: Message) -> Message:
    """A message without nulls, its reasoning under the names that templates read, as transformers gives it."""
    given = {name: value for name, value in message.items() if value is not None and name != "train"}
    for name in REASONING:
        if name in given:
            return {"thinking": given[name], **given, "reasoning_content": given[name]}
    return given


def said(message: Message) -> Iterator[str]:
    """What a message says, and must thus be found in the text that is trained."""
    return (message[name] for name in ("content", "reasoning_content") if isinstance(message.get(name), str))
