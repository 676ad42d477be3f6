"""Messages as data files hold them, under whatever names, to messages with `role`, `content` and perhaps `train`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from executor.data.chat_messages import ASSISTANT, Message, RowError
from executor.data.embedded_json import from_text
from executor.data.examples import Tools
from state.canonical import Plain
from state.values import frozen

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset

MESSAGES = "messages"
"""The field of the messages where a recipe names none; where it does, no other one stands in for it."""
_LOSS = "loss"
"""A flag if it is true or false, as ms-swift writes it; a number is what somebody measured."""
_FLAGS = ("train", "training", "weight", _LOSS)
_Pairs: TypeAlias = tuple[tuple[str, str], ...]


@frozen(eq=False)
class Convention:
    """How data of one kind calls the properties of messages (our name: theirs) and the roles (theirs: ours)."""

    properties: Mapping[str, str]
    roles: Mapping[str, str]
    other_roles: bool
    """Whether roles that are not among these are taken as they are."""


_SAME = {role: role for role in ("system", "user", ASSISTANT, "tool")}
USUAL = Convention({}, {**_SAME, "human": "user", "gpt": ASSISTANT}, other_roles=True)
"""`role` and `content`, as chat templates have them; ShareGPT's roles are understood too."""


@frozen
class Names:
    """How one dataset calls what messages are made of."""

    role: str
    content: str
    properties: Mapping[str, str]
    roles: Mapping[str, str]
    other_roles: bool
    flags: tuple[str, ...]
    """The properties that may say whether a message is trained."""
    taken: frozenset[str]
    """All that a message has under another name in the end."""

    def messages(self, value: object, field: str) -> tuple[Message, ...]:
        """The messages in a field, of which there must be one at least."""
        given = objects(value)
        if isinstance(given, Mapping):
            if isinstance(given.get(self.role), list):
                reason = f"has lists of different lengths in the field `{field}`"
                raise RowError(reason)
            given = [given]
        if not isinstance(given, list) or not given:
            reason = f"has no list of messages in the field `{field}`"
            raise RowError(reason)
        return tuple(self._message(one, number) for number, one in enumerate(given, start=1))

    def _message(self, message: object, number: int) -> Message:
        if not isinstance(message, Mapping):
            reason = f"has no role in message {number}"
            raise RowError(reason)
        role, content = message.get(self.role), message.get(self.content)
        if len(message) == 2 and isinstance(content, str) and isinstance(role, str) and role in self.roles:  # noqa: PLR2004  nothing but role and content, as in most data
            return {"role": self.roles[role], "content": content}
        if self.role not in message:
            given = ", ".join(f"`{name}`" for name in message) or "no fields"
            reason = f"has no `{self.role}` in message {number}, but {given}"
            raise RowError(f"{reason}; name the right one in `message_property_mappings`")
        named = {name: one for name, one in message.items() if name not in self.taken}
        named |= {name: message[given] for name, given in self.properties.items() if given in message}
        named["role"] = self._role(role, number)
        named["content"] = _content(named, number)
        if (flag := self._flag(message, number)) is not None:
            named["train"] = flag
        return _with_calls(named, number) if named.get("tool_calls") else named

    def _role(self, role: object, number: int) -> str:
        if not isinstance(role, str) or not role:
            reason = f"has no role in message {number}"
            raise RowError(reason)
        known = self.roles.get(role, role if self.other_roles else None)
        if role not in self.roles and (near := _nearly(role)):
            reason = f"has the role {role!r} in message {number}, which is nearly {near!r}; name it in `roles`"
            raise RowError(reason)
        if known is None:
            reason = f"has the unknown role {role!r} in message {number}; name it in `roles`"
            raise RowError(reason)
        return known

    def _flag(self, message: Mapping[str, Any], number: int) -> bool | None:
        """Whether a message is trained, if it says so itself."""
        for name in self.flags:
            value = message.get(name)
            if value is not None and (name != _LOSS or isinstance(value, bool) or self.flags == (_LOSS,)):
                if not isinstance(value, bool | int | float) or value not in (0, 1):
                    reason = f"has neither true nor false as `{name}` of message {number}"
                    raise RowError(reason)
                return bool(value)
        return None


@lru_cache(maxsize=1024)
def _nearly(role: str) -> str:
    """The usual role that one is a slip for; "" for one of its own, which templates may know."""
    import difflib

    close = difflib.get_close_matches(role.lower(), _SAME, n=1, cutoff=0.85)
    return close[0] if close else ""


def names(dataset: Dataset, convention: Convention = USUAL) -> Names:
    """The names that a dataset gives, upon those of its kind of data."""
    properties = cast("dict[str, str]", dataset.message_property_mappings)
    roles = ((theirs, ours) for ours, group in dataset.roles.items() for theirs in cast("list[str]", group))
    return _names(convention, tuple(properties.items()), tuple(roles), dataset.message_field_training)


@lru_cache(maxsize=64)
def _names(convention: Convention, properties: _Pairs, roles: _Pairs, flag: str) -> Names:
    """Made once for all rows of a dataset."""
    named = {**convention.properties, **dict(properties)}
    flags = (flag,) if flag else _FLAGS
    return Names(
        role=named.get("role", "role"),
        content=named.get("content", "content"),
        properties=named,
        roles={**convention.roles, **dict(roles)},
        other_roles=convention.other_roles,
        flags=flags,
        taken=frozenset((*named.values(), *flags)),
    )


def with_system(messages: tuple[Message, ...], system: object) -> tuple[Message, ...]:
    """The messages with a system prompt in front, if there is one and they bring none of their own."""
    if not system or messages[0]["role"] == "system":
        return messages
    if not isinstance(system, str):
        reason = "has a system prompt that is no text"
        raise RowError(reason)
    return ({"role": "system", "content": system}, *messages)


def tools(values: Mapping[str, Plain], field: str) -> Tools:
    """The tools in a field, as JSON or as the text of it; None for none."""
    given = objects(values.get(field))
    if given is None or given in ("", [], {}):
        return None
    if not isinstance(given, list) or not all(isinstance(one, Mapping) for one in given):
        reason = f"has no list of tools in the field `{field}`"
        raise RowError(reason)
    return tuple(cast("list[Mapping[str, Plain]]", given))


def is_chat(value: object, *needed: str) -> bool:
    """Whether a value, perhaps written as text, is a list of messages that have the needed properties, or `role`."""
    given = objects(value)
    first = given[0] if isinstance(given, list) and given else None
    return isinstance(first, Mapping) and first.keys() >= set(needed or ("role",))


def objects(value: object) -> object:
    """As `from_text`; an object of lists, as which `datasets` keeps a `Sequence` of objects, is a list of objects."""
    given = from_text(value)
    if not isinstance(given, Mapping):
        return given
    columns = {name: one for name, one in given.items() if one is not None}
    lengths = {len(one) if isinstance(one, list) else None for one in columns.values()}
    if len(lengths) != 1 or None in lengths:
        return given
    named = (zip(columns, one, strict=True) for one in zip(*columns.values(), strict=True))
    return [{name: one for name, one in pairs if one is not None} for pairs in named]


def _content(message: Mapping[str, Any], number: int) -> str | None:
    """The text of a message; parts of text are put together; an answer that calls tools may have none."""
    content = message.get("content")
    if isinstance(content, str) or (content is None and message.get("tool_calls")):
        return content
    if not isinstance(content, list) or not content:
        reason = f"has no text content in message {number}"
        raise RowError(reason)
    return "".join(_parts(content, number))


def _parts(content: list[object], number: int) -> Iterator[str]:
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            reason = f"has a part of type {kind!r} in message {number}; only text can be trained"
            raise RowError(reason)
        yield text


def _with_calls(message: dict[str, Any], number: int) -> Message:
    """The message with the arguments of its calls as objects: many files hold them as text, as OpenAI does."""
    calls = from_text(message["tool_calls"])
    if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
        reason = f"has no list of calls as `tool_calls` of message {number}"
        raise RowError(reason)
    return {**message, "tool_calls": [_call(call) for call in calls]}


def _call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function")
    if not isinstance(function, Mapping):
        return {**call, "arguments": from_text(call["arguments"])} if "arguments" in call else call
    return {**call, "function": {**function, "arguments": from_text(function.get("arguments"))}}
