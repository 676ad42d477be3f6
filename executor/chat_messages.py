"""Chat messages as rows hold them: what is wrong with one, and what no data may contain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

Message: TypeAlias = Mapping[str, Any]

ASSISTANT = "assistant"


class RowError(Exception):
    """What is wrong with one row and what to do, as the end of a sentence that starts with "This row"."""


def check_content(messages: Sequence[Message], control_tokens: Sequence[str]) -> None:
    """Raise RowError if a message holds a control token in any of its texts: data must not be able to end a turn."""
    tokens = tuple(control_tokens)
    for number, message in enumerate(messages, start=1):
        for text in _texts(message):
            if found := special_tokens_in(text, tokens):
                reason = f"has the control token {found[0]} in the text of message {number}; remove it from the data"
                raise RowError(reason)


def special_tokens_in(text: str, special_tokens: tuple[str, ...]) -> tuple[str, ...]:
    """The special tokens that a text spells out, in their order in it; the longest where several begin."""
    return tuple(_any_of(special_tokens).findall(text))


@lru_cache(maxsize=8)
def _any_of(tokens: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _texts(value: object) -> Iterator[str]:
    """Every string in a JSON value, keys included; however deeply it is nested."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            waiting += one


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


def _wrong_with(message: object) -> str:
    """What keeps a value from being a message; "" if nothing does. An answer that calls tools may have no content."""
    if not isinstance(message, Mapping):
        return f"it is no object with `role` and `content` but a {type(message).__name__}"
    role, content, train = (message.get(name) for name in ("role", "content", "train"))
    if not isinstance(role, str) or not role:
        return "its `role` is missing or no text"
    if not isinstance(content, str) and (content is not None or not message.get("tool_calls")):
        return "its `content` is missing or no text"
    return "" if train is None or isinstance(train, bool) else "its `train` is neither true nor false"


def _message(message: Message) -> Message:
    """A message without nulls, its reasoning under the names that templates read, as transformers gives it."""
    given = {name: value for name, value in message.items() if value is not None and name != "train"}
    reasoning = next((given[name] for name in ("reasoning_content", "thinking", "reasoning") if name in given), None)
    return given if reasoning is None else {"thinking": reasoning, **given, "reasoning_content": reasoning}


def said(message: Message) -> Iterator[str]:
    """What a message says, and must thus be found in the text that is trained."""
    return (message[name] for name in ("content", "reasoning_content") if isinstance(message.get(name), str))
