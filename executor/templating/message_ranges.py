"""Where a message lies in the text of a conversation whose template does not say so, proved or refused.

A message is what it adds to the rendering of those before it, as long as the whole text begins with both; a template
that writes a message differently once others follow (Qwen3, gpt-oss) is asked a second way: where does a mark appear
that stands in place of the message's content?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from executor.data.chat_messages import ASSISTANT, Message, RowError, said
from state.values import frozen

if TYPE_CHECKING:
    from executor.templating.chat_template import Rendered, Span

_MARK = "\ue000"  # for private use in Unicode; where data holds it too, nothing is taken for proved
OTHER_TEMPLATE = "use a template that marks answers with {% generation %}, or set `train` of this message to false"


class Render(Protocol):
    """Renders messages, with the tools of the conversation that they are from; raises RowError."""

    def __call__(self, chat: list[Message], *, prompt: bool = False) -> Rendered:
        """Text and marked ranges; with `prompt`, up to where an assistant's next words begin."""


@frozen
class Unmarked:
    """One conversation in which messages are to be found."""

    render: Render
    chat: list[Message]
    text: str
    special_tokens: Mapping[str, str]

    def located(self, index: int) -> Span:
        """Where a message lies in the text of the whole chat, without what a prompt for it would hold already."""
        message = self.chat[index]
        answers = message["role"] == ASSISTANT
        start = self._prefix(self.chat[:index], prompt=answers)
        end = self._prefix(self.chat[: index + 1])
        if start is None or end is None:
            start, end = self._around_content(index, start if answers else None, end)
        return start, _end_of_turn(self.text, start, end, message.get("content", ""))

    def _prefix(self, chat: list[Message], *, prompt: bool = False) -> int | None:
        """The length of the rendering of a chat's beginning; None if the whole text does not begin with it."""
        try:
            part = self.render(chat, prompt=prompt).text
        except RowError:
            return None
        return len(part) if self.text.startswith(part) else None

    def _around_content(self, index: int, start: int | None, end: int | None) -> tuple[int, int]:
        """Where a message lies by the place of its content, its start or end being known perhaps; or RowError.

        Proved if the text, but for the content, is what is rendered with a mark for content, if what follows the
        content closes a turn also where nothing comes after it, and if none of what the message says is left out.
        """
        frame = self._frame(self.chat, index)
        if frame is not None and _encloses(frame, self.text):
            before, after = frame
            start = len(before) if start is None or start > len(before) else start
            ending = "" if end is not None else self._ending(self.chat[: index + 1], after)
            if ending is not None:
                end = len(self.text) - len(after) + len(ending) if end is None else end
                if all(said.strip() in self.text[start:end] for said in said(self.chat[index])):
                    return start, end
        reason = f"cannot be masked: the template writes message {index + 1} differently, or leaves some of it out, "
        raise RowError(reason + f"because of what stands around it; {OTHER_TEMPLATE}")

    def _frame(self, chat: list[Message], index: int, *, prompt: bool = False) -> tuple[str, str] | None:
        """The text before and after a message's content; None if the template does not write it exactly once."""
        marked = [*chat[:index], {**chat[index], "content": _MARK}, *chat[index + 1 :]]
        try:
            before, after = self.render(marked, prompt=prompt).text.split(_MARK)
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
            asked, plain = self.render(chat, prompt=True).text, self.render(chat).text
        except RowError:
            return ""
        return asked.removeprefix(plain) if asked.startswith(plain) else ""


def _encloses(frame: tuple[str, str], text: str) -> bool:
    before, after = frame
    return text.startswith(before) and text.endswith(after) and len(before) + len(after) <= len(text)


def _end_of_turn(text: str, start: int, end: int, content: str) -> int:
    """The end of a turn without the white space behind its last token; white space that itself ends the turn stays."""
    turn, said = text[start:end].rstrip(), content.strip()
    nothing_closes_it = said and turn.find(said) == len(turn) - len(said)
    return end if nothing_closes_it else start + len(turn)
