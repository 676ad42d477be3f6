"""Chat templates: a conversation to text, with the character ranges that are to be trained, proved for every row.

Text is what transformers renders (`transformers/utils/chat_template_utils.py`, 5.23): the same Jinja sandbox, filters,
functions and message fields. What an assistant writes is what `{% generation %}` encloses. For other templates and
roles it is what a message adds to the rendering of those before it, as long as that can be proved; a template that
writes a message differently once others follow (Qwen3, gpt-oss) is asked a second way: where does a mark appear that
stands in place of the message's content?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from executor.chat_messages import ASSISTANT, Message, RowError, checked, said
from executor.template_environment import NOTE, environment
from state.diagnostic import problem

if TYPE_CHECKING:
    from jinja2 import Template

Span: TypeAlias = tuple[int, int]

_MARK = "\ue000"  # for private use in Unicode; where data holds it too, nothing is taken for proved
_OTHER_TEMPLATE = "use a template that marks answers with {% generation %}, or set `train` of this message to false"

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

    def prompt(self, messages: Sequence[Message]) -> str:
        """The conversation so far, up to where the assistant's next words begin; raises RowError."""
        return self._render(checked(messages), prompt=True).text

    def conversation(self, messages: Sequence[Message], roles_to_train: frozenset[str]) -> Rendered:
        """The whole conversation with what is to be trained: messages of these roles, or as their `train` says.

        Raises RowError where a message to be trained would train nothing or cannot be found in the text for certain.
        """
        chat = checked(messages)
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
                if all(said.strip() in text[start:end] for said in said(chat[index])):
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
            for block in self.template.generate({**self.special_tokens, **variables, NOTE: note}):
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

    sandbox = environment()
    try:
        parsed = sandbox.parse(text)
        marks_answers = parsed.find(nodes.ExtensionAttribute) is not None
        return ChatTemplate(sandbox.from_string(parsed), dict(special_tokens), marks_answers)
    except TemplateSyntaxError as error:
        detail = f"{error.message} in line {error.lineno} of the template."
        raise problem("Broken chat template", detail, "Chat templates are written in Jinja.") from error


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
