"""Chat templates: a conversation to text, with the character ranges that are to be trained, proved for every row.

Text is what transformers renders (`transformers/utils/chat_template_utils.py`, 5.23): the same Jinja sandbox, filters,
functions and message fields. What an assistant writes is what `{% generation %}` encloses; for other templates and
roles it is found in the text (`message_ranges`; `message_layout` for what many rows share), as long as that can be
proved. What a template is proved to write around any contents is filled in without rendering (`proved_layout`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import field

from executor.data.chat_messages import ASSISTANT, Message, RowError, called, checked, checked_tools
from executor.templating.message_layout import MOST_KEPT, Layout, is_plain, layout_of
from executor.templating.message_ranges import OTHER_TEMPLATE, Unmarked
from executor.templating.proved_layout import LayoutProofs
from executor.templating.template_environment import NOTE, environment
from executor.templating.turn_ends import TrainOnEos, with_ends
from state.diagnostic import problem
from state.values import frozen

if TYPE_CHECKING:
    from jinja2 import Template

Span: TypeAlias = tuple[int, int]
Tools: TypeAlias = Sequence[Mapping[str, Any]] | None

_OF_TEMPLATES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)


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
    control_tokens: tuple[str, ...] = ()
    """All tokens of the vocabulary that are special, among them those that end a turn."""
    proofs: LayoutProofs = field(factory=lambda: LayoutProofs(""), eq=False, repr=False)
    _layouts: dict[tuple[str | int, ...], Layout | None] = field(factory=dict, init=False, eq=False, repr=False)

    def prompt(self, messages: Sequence[Message], tools: Tools = None) -> str:
        """The conversation so far, up to where the assistant's next words begin; raises RowError."""
        return self.render(checked(messages), checked_tools(tools), prompt=True).text

    def conversation(
        self,
        messages: Sequence[Message],
        roles_to_train: frozenset[str],
        tools: Tools = None,
        train_on_eos: TrainOnEos = "turn",
    ) -> Rendered:
        """The whole conversation with what is to be trained: messages of these roles, or as their `train` says.

        Raises RowError where a message to be trained would train nothing or cannot be found in the text for certain,
        and where the template leaves out tools.
        """
        if not tools and (proved := self._proved(messages, roles_to_train)) is not None:
            text, ranges = proved
            return Rendered(text, self._with_ends(text, ranges, train_on_eos))
        chat, given = checked(messages), checked_tools(tools)
        wanted = _wanted(messages, roles_to_train)
        whole = self.render(chat, given)
        _check_tools(given, whole.text)
        if not self.marks_answers and given is None and all(map(is_plain, chat)):
            spans = self._laid_out(chat, wanted, whole.text)
            if spans is not None:
                return Rendered(whole.text, self._with_ends(whole.text, spans, train_on_eos))
        answers = self.answers(chat, whole, given)
        unmarked = Unmarked(partial(self.render, tools=given), chat, whole.text, self.special_tokens)
        spans = []
        for index in wanted:
            own = answers[index] if index in answers else (unmarked.located(index),)
            spans += _trained(own, index, chat, Rendered(whole.text, tuple(spans)))
        return Rendered(whole.text, self._with_ends(whole.text, spans, train_on_eos))

    def _proved(
        self, messages: Sequence[Message], roles_to_train: frozenset[str]
    ) -> tuple[str, tuple[Span, ...]] | None:
        """Text and ranges without rendering, where a proof holds for conversations of these roles and contents."""
        if not isinstance(messages, list | tuple) or not all(map(_may_be_plain, messages)):
            return None
        roles = tuple([message.get("role") for message in messages])
        contents = [message.get("content") for message in messages]
        if {*map(type, roles), *map(type, contents)} != {str} or not all(roles):
            return None
        layout = self.proofs.layout(self, roles, roles_to_train)
        return None if layout is None else layout.fill(contents)

    def _laid_out(self, chat: list[Message], wanted: list[int], text: str) -> list[Span] | None:
        """The ranges to train, if the conversation is laid out as all of its roles are; empty ones are none."""
        key = (*(message["role"] for message in chat), *wanted)
        try:
            layout = self._layouts[key]
        except KeyError:
            if len(self._layouts) >= MOST_KEPT:
                self._layouts.clear()
            roles = [message["role"] for message in chat]
            layout = self._layouts[key] = layout_of(self.render, roles, wanted, self.special_tokens)
        spans = None if layout is None else layout.spans([message["content"] for message in chat], text)
        return spans if spans is None or all(start < end for start, end in spans) else None

    def _with_ends(self, text: str, spans: Sequence[Span], rule: TrainOnEos) -> tuple[Span, ...]:
        if rule == "turn" and spans:
            return tuple(spans)
        controls = (*self.control_tokens, *self.special_tokens.values())
        trained = with_ends(text, spans, rule, self.special_tokens.get("eos_token", ""), controls)
        if not trained:
            reason = f'yields no trained token: its answers are empty, and `train_on_eos` is "{rule}"'
            raise RowError(reason)
        return trained

    def answers(self, chat: list[Message], whole: Rendered, tools: Tools) -> dict[int, tuple[Span, ...]]:
        """The marked ranges of each assistant message, by its index; a template may mark a message in several parts."""
        speaking = [index for index, message in enumerate(chat) if message["role"] == ASSISTANT]
        if not speaking or not self.marks_answers:
            return {}
        total = len(whole.spans)
        if total == len(speaking):
            counts = list(range(total + 1))
        else:
            counts = [0, *(max(0, total - self._marks_from(chat, index + 1, tools)) for index in speaking[:-1]), total]
        parts = [whole.spans[start:end] for start, end in pairwise(counts)]
        return dict(zip(speaking, parts, strict=True))

    def _marks_from(self, chat: list[Message], index: int, tools: Tools) -> int:
        """How many ranges are marked from a message on: templates leave out of a message what later ones outdate."""
        try:
            return len(self.render(chat[index:], tools).spans)
        except RowError:
            return len(self.render(chat, tools).spans) - len(self.render(chat[:index], tools, prompt=True).spans)

    def render(self, chat: list[Message], tools: Tools = None, *, prompt: bool = False) -> Rendered:
        """Text, and the ranges that the template marks; RowError with the template's own words if it refuses."""
        from jinja2 import TemplateError

        blocks: list[str] = []
        length = 0
        noted: list[tuple[int, str]] = []
        variables = {"messages": chat, "tools": tools, "documents": None, "add_generation_prompt": prompt}

        def note(said: str) -> None:
            noted.append((length, said))

        try:
            for block in self.template.generate({**self.special_tokens, **variables, NOTE: note}):
                blocks.append(block)
                length += len(block)
        except (TemplateError, *_OF_TEMPLATES) as error:
            reason = f"is refused by the chat template: {str(error).rstrip('.')}"
            raise RowError(reason) from error
        text = "".join(blocks)
        # Inside a macro or a `set` block, what is generated is not written where it is noted, and thus not proved.
        return Rendered(text, tuple((at, at + len(said)) for at, said in noted if text.startswith(said, at)))


def compile_template(text: str, special_tokens: Mapping[str, str], control_tokens: Sequence[str] = ()) -> ChatTemplate:
    """Compile a template in Jinja's sandbox; ProblemError with the line if it is not Jinja."""
    from jinja2 import TemplateSyntaxError, nodes

    sandbox = environment()
    try:
        parsed = sandbox.parse(text)
        marks_answers = parsed.find(nodes.ExtensionAttribute) is not None
        compiled = sandbox.from_string(parsed)
        compiled.globals = dict(compiled.globals)  # every rendering copies them, a chain of mappings slowly
    except TemplateSyntaxError as error:
        detail = f"{error.message} in line {error.lineno} of the template."
        raise problem("Broken chat template", detail, "Chat templates are written in Jinja.") from error
    return ChatTemplate(compiled, dict(special_tokens), marks_answers, tuple(control_tokens), LayoutProofs(text))


def _may_be_plain(message: object) -> bool:
    return type(message) is dict and len(message) == 2  # noqa: PLR2004  nothing but role and content


def _wanted(messages: Sequence[Message], roles_to_train: frozenset[str]) -> list[int]:
    """The messages to train; RowError if there are none."""
    flags = ((message.get("train"), message["role"] in roles_to_train) for message in messages)
    wanted = [index for index, (flag, of_role) in enumerate(flags) if (of_role if flag is None else flag)]
    if not wanted:
        roles = ", ".join(sorted(roles_to_train))
        reason = f"it has no message of a role to train ({roles}); see `roles_to_train`"
        if any(message["role"] in roles_to_train for message in messages):
            reason = f"none of its messages of a role to train ({roles}) is to be trained: each says `train` false"
        message = f"yields no trained token: {reason}"
        raise RowError(message)
    return wanted


def _check_tools(tools: Tools, text: str) -> None:
    for tool in tools or ():
        name = tool.get("function", tool).get("name")
        if name not in text:
            reason = f"lists the tool {name}, which the chat template leaves out; use a template that writes tools"
            raise RowError(reason)


def _trained(parts: Sequence[Span], index: int, chat: Sequence[Message], earlier: Rendered) -> list[Span]:
    """The ranges of one message that hold any text; RowError if they hold nothing of it, or overlap earlier ones."""
    trained = [(start, end) for start, end in parts if start < end]
    texts = [earlier.text[start:end] for start, end in trained]
    if missing := next(_missing(chat[index], texts), None):
        role = chat[index]["role"]
        reason = f"yields no trained token for message {index + 1} ({role}): the template leaves out {missing}; "
        raise RowError(reason + "use another template, or set `train` of this message to false")
    if earlier.spans and trained[0][0] < earlier.spans[-1][1]:
        reason = f"cannot be masked: the template mixes message {index + 1} with one before it; {OTHER_TEMPLATE}"
        raise RowError(reason)
    return trained


def _missing(message: Message, texts: Sequence[str]) -> Iterator[str]:
    """What a message says that none of the texts that are trained for it holds."""
    words = message.get("content", "").split()
    if not texts or (words and not any(word in text for word in words for text in texts)):
        yield "its content"
    for function in called(message):
        if not any(function["name"] in text for text in texts):
            yield f"its call of {function['name']}"
        arguments = function.get("arguments")
        if isinstance(arguments, str) and not any(arguments in text for text in texts):
            yield f"the arguments of {function['name']} as they stand, a string and no object"
