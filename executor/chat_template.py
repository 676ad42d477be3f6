"""Chat templates: a conversation to text, with the character ranges that are to be trained, proved for every row.

Text is what transformers renders (`transformers/utils/chat_template_utils.py`, 5.23): the same Jinja sandbox, filters,
functions and message fields. What an assistant writes is what `{% generation %}` encloses. For other templates and
roles it is what a message adds to the rendering of those before it, as long as that can be proved; a template that
writes a message differently once others follow (Qwen3, gpt-oss) is asked a second way: where does a mark appear that
stands in place of the message's content?
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import frozen

from state.diagnostic import problem

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from jinja2.ext import Extension

Message: TypeAlias = Mapping[str, Any]
Span: TypeAlias = tuple[int, int]

ASSISTANT = "assistant"
_MARK = "\ue000"  # for private use in Unicode; where data holds it too, nothing is taken for proved
_NOTE = "note generated"  # a variable that no template can name, because of the space
_OTHER_TEMPLATE = "use a template that marks answers with {% generation %}, or set `train` of this message to false"

_OF_TEMPLATES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)


class RowError(Exception):
    """What is wrong with one row and what to do, as the end of a sentence that starts with "This row"."""


@frozen
class Rendered:
    """A conversation as text, and the ranges of it, in characters and in order, that are to be trained."""

    text: str
    spans: tuple[Span, ...]


@frozen
class ChatTemplate:
    """A compiled template with the special tokens that it may name; rendering is safe in several threads."""

    template: Template
    special_tokens: Mapping[str, str]
    marks_answers: bool
    """Whether the template itself marks what an assistant generates."""

    def prompt(self, messages: Sequence[Message]) -> str:
        """The conversation so far, up to where the assistant's next words begin; raises RowError."""
        return self._render(_checked(messages), prompt=True).text

    def conversation(self, messages: Sequence[Message], roles_to_train: frozenset[str]) -> Rendered:
        """The whole conversation with what is to be trained: messages of these roles, or as their `train` says.

        Raises RowError where a message to be trained would train nothing or cannot be found in the text for certain.
        """
        chat = _checked(messages)
        flags = [message.get("train") for message in messages]
        pairs = zip(flags, chat, strict=True)
        wanted = [message["role"] in roles_to_train if flag is None else flag for flag, message in pairs]
        if not any(wanted):
            roles = ", ".join(sorted(roles_to_train))
            reason = f"yields no trained token: it has no message of a role to train ({roles}); see `roles_to_train`"
            raise RowError(reason)
        whole = self._render(chat)
        answers = self._answers(chat, whole)
        spans: list[Span] = []
        for index in (index for index, want in enumerate(wanted) if want):
            own = answers[index] if index in answers else (self._located(chat, index, whole.text),)
            spans += _trained(own, index, chat, Rendered(whole.text, tuple(spans)))
        return Rendered(whole.text, tuple(spans))

    def _answers(self, chat: list[Message], whole: Rendered) -> dict[int, tuple[Span, ...]]:
        """The marked ranges of each assistant message, by its index; a template may mark a message in several parts."""
        speaking = [index for index, message in enumerate(chat) if message["role"] == ASSISTANT]
        if not speaking or not self.marks_answers:
            return {}
        total = len(whole.spans)
        if total == len(speaking):
            counts = list(range(total + 1))
        else:
            counts = [0, *(max(0, total - self._marks_from(chat, index + 1)) for index in speaking[:-1]), total]
        parts = [whole.spans[start:end] for start, end in pairwise(counts)]
        return dict(zip(speaking, parts, strict=True))

    def _marks_from(self, chat: list[Message], index: int) -> int:
        """How many ranges are marked from a message on: templates leave out of a message what later ones outdate."""
        try:
            return len(self._render(chat[index:]).spans)
        except RowError:
            return len(self._render(chat).spans) - len(self._render(chat[:index], prompt=True).spans)

    def _located(self, chat: list[Message], index: int, text: str) -> Span:
        """Where a message lies in the text of the whole chat, without what a prompt for it would hold already."""
        message = chat[index]
        answers = message["role"] == ASSISTANT
        start = self._prefix(chat[:index], text, prompt=answers)
        end = self._prefix(chat[: index + 1], text)
        if start is None or end is None:
            start, end = self._around_content(chat, index, text, start if answers else None, end)
        return start, _end_of_turn(text, start, end, message.get("content", ""))

    def _prefix(self, chat: list[Message], text: str, *, prompt: bool = False) -> int | None:
        """The length of the rendering of a chat's beginning; None if the whole text does not begin with it."""
        try:
            part = self._render(chat, prompt=prompt).text
        except RowError:
            return None
        return len(part) if text.startswith(part) else None

    def _around_content(
        self, chat: list[Message], index: int, text: str, start: int | None, end: int | None
    ) -> tuple[int, int]:
        """Where a message lies by the place of its content, its start or end being known perhaps; or RowError.

        Proved if the text, but for the content, is what is rendered with a mark for content, if what follows the
        content closes a turn also where nothing comes after it, and if none of what the message says is left out.
        """
        frame = self._frame(chat, index)
        if frame is not None and _encloses(frame, text):
            before, after = frame
            start = len(before) if start is None or start > len(before) else start
            ending = "" if end is not None else self._ending(chat[: index + 1], after)
            if ending is not None:
                end = len(text) - len(after) + len(ending) if end is None else end
                if all(said.strip() in text[start:end] for said in _said(chat[index])):
                    return start, end
        reason = f"cannot be masked: the template writes message {index + 1} differently, or leaves some of it out, "
        raise RowError(reason + f"because of what stands around it; {_OTHER_TEMPLATE}")

    def _frame(self, chat: list[Message], index: int, *, prompt: bool = False) -> tuple[str, str] | None:
        """The text before and after a message's content; None if the template does not write it exactly once."""
        marked = [*chat[:index], {**chat[index], "content": _MARK}, *chat[index + 1 :]]
        try:
            before, after = self._render(marked, prompt=prompt).text.split(_MARK)
        except (RowError, ValueError):
            return None
        return before, after

    def _ending(self, chat: list[Message], after: str) -> str | None:
        """What closes the last message of a chat; only if `after`, which follows its content in a longer one, agrees.

        Some templates close a turn in another way where an answer is asked for behind it (gpt-oss), or close the whole
        conversation with one more token (Phi-3).
        """
        last, answered = self._frame(chat, len(chat) - 1), self._frame(chat, len(chat) - 1, prompt=True)
        if last is None:
            return None
        endings = [last[1], *(last[1].removesuffix(token) for token in self.special_tokens.values())]
        if answered is not None and (cue := self._cue(chat[:-1])):
            endings.append(answered[1].removesuffix(cue))
        closings = (ending.rstrip() or ending for ending in endings if ending or not last[1])
        return next((closing for closing in closings if after.startswith(closing)), None)

    def _cue(self, chat: list[Message]) -> str:
        """What asks for an answer to a chat; "" if that cannot be told."""
        try:
            asked, plain = self._render(chat, prompt=True).text, self._render(chat).text
        except RowError:
            return ""
        return asked.removeprefix(plain) if asked.startswith(plain) else ""

    def _render(self, chat: list[Message], *, prompt: bool = False) -> Rendered:
        """Text, and the ranges that the template marks; RowError with the template's own words if it refuses."""
        from jinja2 import TemplateError

        blocks: list[str] = []
        length = 0
        noted: list[tuple[int, str]] = []
        variables = {"messages": chat, "tools": None, "documents": None, "add_generation_prompt": prompt}

        def note(said: str) -> None:
            noted.append((length, said))

        try:
            for block in self.template.generate({**self.special_tokens, **variables, _NOTE: note}):
                blocks.append(block)
                length += len(block)
        except (TemplateError, *_OF_TEMPLATES) as error:
            reason = f"is refused by the chat template: {error}"
            raise RowError(reason) from error
        text = "".join(blocks)
        # Inside a macro or a `set` block, what is generated is not written where it is noted, and thus not proved.
        return Rendered(text, tuple((at, at + len(said)) for at, said in noted if text.startswith(said, at)))


def compile_template(text: str, special_tokens: Mapping[str, str]) -> ChatTemplate:
    """Compile a template in Jinja's sandbox; ProblemError with the line if it is not Jinja."""
    from jinja2 import TemplateSyntaxError, nodes

    environment = _environment()
    try:
        parsed = environment.parse(text)
        marks_answers = parsed.find(nodes.ExtensionAttribute) is not None
        return ChatTemplate(environment.from_string(parsed), dict(special_tokens), marks_answers)
    except TemplateSyntaxError as error:
        detail = f"{error.message} in line {error.lineno} of the template."
        raise problem("Broken chat template", detail, "Chat templates are written in Jinja.") from error


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


def _checked(messages: Sequence[Message]) -> list[Message]:
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


def _said(message: Message) -> Iterator[str]:
    """What a message says, and must thus be found in the text that is trained."""
    return (message[name] for name in ("content", "reasoning_content") if isinstance(message.get(name), str))


def _encloses(frame: tuple[str, str], text: str) -> bool:
    before, after = frame
    return text.startswith(before) and text.endswith(after) and len(before) + len(after) <= len(text)


def _end_of_turn(text: str, start: int, end: int, content: str) -> int:
    """The end of a turn without the white space behind its last token; white space that itself ends the turn stays."""
    turn, said = text[start:end].rstrip(), content.strip()
    nothing_closes_it = said and turn.find(said) == len(turn) - len(said)
    return end if nothing_closes_it else start + len(turn)


def _trained(parts: Sequence[Span], index: int, chat: Sequence[Message], earlier: Rendered) -> list[Span]:
    """The ranges of one message that hold any text; RowError if they hold nothing of it, or overlap earlier ones."""
    trained = [(start, end) for start, end in parts if start < end]
    words = chat[index].get("content", "").split()
    texts = [earlier.text[start:end] for start, end in trained]
    if not texts or (words and not any(word in text for word in words for text in texts)):
        reason = (
            f"yields no trained token for message {index + 1} ({chat[index]['role']}): the template leaves it out; "
        )
        raise RowError(reason + "use another template, or set `train` of this message to false")
    if earlier.spans and trained[0][0] < earlier.spans[-1][1]:
        reason = f"cannot be masked: the template mixes message {index + 1} with one before it; {_OTHER_TEMPLATE}"
        raise RowError(reason)
    return trained


def _environment() -> Environment:
    """Jinja's sandbox with what transformers gives to templates."""
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def fail(message: str) -> None:
        raise TemplateError(message)

    def to_json(
        value: object,
        ensure_ascii: bool = False,  # noqa: FBT001, FBT002  templates may pass it by position, as to transformers
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,  # noqa: FBT001, FBT002  as above
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    extensions = [_generation(), loopcontrols]
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = fail
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)  # noqa: DTZ005  local time
    return environment


def _generation() -> type[Extension]:
    """The tag `{% generation %}`, which notes what is written up to `{% endgeneration %}`."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012  jinja2 declares it so

        def parse(self, parser: Any) -> nodes.Node:  # noqa: ANN401  jinja2 has no public type for it
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            note = self.call_method("note", [nodes.ContextReference()])
            return nodes.CallBlock(note, [], [], body).set_lineno(line)

        def note(self, context: Any, caller: Any) -> str:  # noqa: ANN401  jinja2's own
            said: str = caller()
            context[_NOTE](said)
            return said

    return Generation
