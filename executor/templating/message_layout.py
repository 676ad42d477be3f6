"""Where messages lie in conversations of the same roles: found once with marks for contents, checked for every row.

Finding a message in the text of a template that does not mark answers takes several renderings (`message_ranges`). What
stands between contents is mostly the same for all conversations of the same roles: where a row's text is exactly that
with its own contents, its messages lie where those of the marks do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from executor.data.chat_messages import Message, RowError
from executor.templating.message_ranges import Render, Unmarked
from state.values import frozen

MOST_KEPT = 512
"""Layouts that a template keeps; conversations are seldom of so many kinds."""


@frozen
class Layout:
    """The text around the contents of some roles' messages, and what of it belongs to the messages that are trained."""

    around: tuple[str, ...]
    """What stands before, between and behind the contents."""
    trained: tuple[tuple[int, int, int], ...]
    """The place of each message to train, and how far its range reaches before and behind its content."""

    def spans(self, contents: Sequence[str], text: str) -> list[tuple[int, int]] | None:
        """The ranges in the text of a conversation; None if it is not laid out so, each content trimmed or not."""
        places: list[tuple[int, int]] = []
        at = len(self.around[0])
        if not text.startswith(self.around[0]):
            return None
        for content, behind in zip(contents, self.around[1:], strict=True):
            said = next((one for one in (content, content.strip()) if text.startswith(one + behind, at)), None)
            if said is None:
                return None
            end = at + len(said)
            places.append((at, end))
            at = end + len(behind)
        if at != len(text):
            return None
        return [(places[one][0] - before, places[one][1] + behind) for one, before, behind in self.trained]


def is_plain(message: Message) -> bool:
    """Whether a message holds nothing but a text, so that only its role decides what is written around it."""
    return message.keys() == {"role", "content"}


def layout_of(
    render: Render, roles: Sequence[str], wanted: Sequence[int], special_tokens: Mapping[str, str]
) -> Layout | None:
    """How conversations of these roles are laid out; None if that cannot be told."""
    marks = [f"\ue001{at}\ue001" for at in range(len(roles))]
    chat: list[Message] = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
    try:
        text = render(chat).text
        spans = [Unmarked(render, chat, text, special_tokens).located(at) for at in wanted]
    except RowError:
        return None
    edges = [edge for span in spans for edge in span]
    if edges != sorted(edges) or any(text.count(mark) != 1 for mark in marks):
        return None
    starts = [text.index(mark) for mark in marks]
    ends = [start + len(mark) for start, mark in zip(starts, marks, strict=True)]
    if starts != sorted(starts):
        return None
    around = tuple(text[low:high] for low, high in zip([0, *ends], [*starts, len(text)], strict=True))
    reach = [(at, starts[at] - start, end - ends[at]) for at, (start, end) in zip(wanted, spans, strict=True)]
    return Layout(around, tuple(reach)) if all(min(before, behind) >= 0 for _, before, behind in reach) else None
