"""Chat templates: a conversation to text, with the character ranges that are to be trained, proved for every row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from state.diagnostic import Place, problem

if TYPE_CHECKING:
    from jinja2 import Environment, Template

Message = Mapping[str, Any]
Span = tuple[int, int]


class RowError(Exception):
    """What is wrong with one row, as the end of a sentence that starts with "This row"."""


@frozen
class Rendered:
    """A conversation as text, and the character ranges (start, end) of it that are to be trained."""

    text: str
    spans: tuple[Span, ...]


@frozen
class ChatTemplate:
    """A compiled template with the special tokens that it may name."""

    template: Template
    recorder: SpanRecorder
    special_tokens: Mapping[str, str] = field(factory=dict)
    marked: bool = False
    """Whether the template itself marks what an assistant generates."""

    def prompt(self, messages: Sequence[Message]) -> str:
        """The conversation so far, up to where the assistant's next words begin."""
        return self._render(messages, add_generation_prompt=True)

    def conversation(self, messages: Sequence[Message], roles_to_train: frozenset[str]) -> Rendered:
        """The whole conversation; raises RowError where what is to be trained cannot be determined, or is nothing."""
        wanted = [_is_trained(message, roles_to_train) for message in messages]
        if not any(wanted):
            roles = ", ".join(sorted(roles_to_train))
            message = f"yields no trained token: none of its messages is to be trained (roles_to_train: {roles})"
            raise RowError(message)
        follows_roles = all(want == (one["role"] == "assistant") for want, one in zip(wanted, messages, strict=True))
        if self.marked and follows_roles:
            rendered = self._by_marks(messages)
        else:
            rendered = self._by_prefixes(messages, wanted)
        if not rendered.spans or any(end <= start for start, end in rendered.spans):
            message = "yields no trained token: a message that is to be trained is empty or left out by the template"
            raise RowError(message)
        return rendered

    def _by_marks(self, messages: Sequence[Message]) -> Rendered:
        with self.recorder as spans:
            text = self._render(messages, add_generation_prompt=False)
        expected = sum(message["role"] == "assistant" for message in messages)
        if len(spans) != expected:
            message = f"has {expected} assistant messages, of which the template marks {len(spans)} for training"
            raise RowError(message)
        return Rendered(text, tuple(spans))

    def _by_prefixes(self, messages: Sequence[Message], wanted: Sequence[bool]) -> Rendered:
        """What a message adds to the text is what rendering up to it adds; only sound if each part is a prefix."""
        text = self._render(messages, add_generation_prompt=False)
        spans = []
        for at, message in enumerate(messages):
            if wanted[at]:
                asked = message["role"] == "assistant"
                before = self._render(messages[:at], add_generation_prompt=asked) if at or asked else ""
                after = self._render(messages[: at + 1], add_generation_prompt=False)
                if not (text.startswith(after) and after.startswith(before)):
                    detail = f"cannot be masked: the template renders message {at + 1} differently by what follows it"
                    raise RowError(detail)
                spans.append((len(before), self._end(after)))
        return Rendered(text, tuple(spans))

    def _end(self, text: str) -> int:
        """Where training stops: behind the token that ends the turn, not behind the line break after it."""
        stripped = text.rstrip()
        ends = stripped.endswith(tuple(token for token in self.special_tokens.values() if token))
        return len(stripped) if ends else len(text)

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        from jinja2.exceptions import TemplateError

        given = [{name: value for name, value in one.items() if value is not None} for one in messages]
        variables = {**self.special_tokens, "messages": given, "add_generation_prompt": add_generation_prompt}
        try:
            return "".join(self.recorder.follow(self.template.generate(**variables)))
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            message = f"is refused by the chat template: {error}"
            raise RowError(message) from None


class SpanRecorder:
    """Notes the character ranges between `{% generation %}` and `{% endgeneration %}` while a template renders."""

    def __init__(self) -> None:
        """Record nothing until asked."""
        self._length = 0
        self._spans: list[Span] | None = None

    def __enter__(self) -> list[Span]:
        """Record the next rendering."""
        self._spans = []
        return self._spans

    def __exit__(self, *_: object) -> None:
        """Record no more."""
        self._spans = None

    def follow(self, pieces: Iterator[str]) -> Iterator[str]:
        """Pass the pieces of a rendering on, counting characters."""
        self._length = 0
        for piece in pieces:
            self._length += len(piece)
            yield piece

    def generated(self, text: str) -> str:
        """Note that the text, which is rendered next, was generated by the assistant."""
        if self._spans is not None:
            self._spans.append((self._length, self._length + len(text)))
        return text


def compile_template(text: str, special_tokens: Mapping[str, str]) -> ChatTemplate:
    """Compile a template in Jinja's sandbox, with the functions and filters that transformers gives templates."""
    from jinja2.exceptions import TemplateSyntaxError

    recorder = SpanRecorder()
    environment = _environment(recorder)
    try:
        template = environment.from_string(text)
    except TemplateSyntaxError as error:
        detail = f"{error.message} in line {error.lineno} of the template."
        raise problem("Broken chat template", detail, place=Place(error.filename or "")) from None
    marked = re.search(r"\{%-?\s*generation\s*-?%\}", text) is not None
    return ChatTemplate(template, recorder, dict(special_tokens), marked)


def check_content(messages: Sequence[Message], control_tokens: Sequence[str]) -> None:
    """Raise RowError if a message contains a control token as text: data must not be able to end a turn."""
    for number, message in enumerate(messages, start=1):
        content = message["content"]
        found = next((token for token in control_tokens if token in content), None)
        if found is not None:
            detail = f"has the control token {found} in the text of message {number}; remove it from the data"
            raise RowError(detail)


def _is_trained(message: Message, roles_to_train: frozenset[str]) -> bool:
    own = message.get("train")
    return own if isinstance(own, bool) else message["role"] in roles_to_train


def _environment(recorder: SpanRecorder) -> Environment:
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012  jinja2 declares it so

        def parse(self, parser: Any) -> nodes.Node:  # noqa: ANN401  jinja2 has no public type for it
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_record"), [], [], body).set_lineno(line)

        def _record(self, caller: Any) -> str:  # noqa: ANN401  a macro
            return recorder.generated(str(caller()))

    def fail(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: object, *, ensure_ascii: bool = False, **options: Any) -> str:  # noqa: ANN401  json's own
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = fail
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)  # noqa: DTZ005  as transformers does
    return environment
