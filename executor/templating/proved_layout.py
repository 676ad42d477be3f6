"""Conversations of the same roles without rendering each: what a template writes around contents, proved for all.

`sealed_content` proves what stands around the contents; `message_layout` and the template's own marks tell which of it
is trained. What a row then takes is putting its contents in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, evolve, field

from executor.data.chat_messages import Message, RowError
from executor.templating.looking import LookedAtError
from executor.templating.message_layout import MOST_KEPT, Layout, layout_of
from executor.templating.sealed_content import EDGE, Slot, Slots, compile_sealed
from state.values import frozen

if TYPE_CHECKING:
    from executor.templating.chat_template import ChatTemplate, Span

Parts: TypeAlias = tuple[str | Slot, ...]
Key: TypeAlias = tuple[tuple[str, ...], frozenset[str]]
Widths: TypeAlias = Sequence[tuple[str | Slot, int]]
"""Parts with the characters that they take in a rendering with marks."""


@frozen
class ProvedLayout:
    """What is written around contents that are more than white space, and which of it is trained."""

    parts: Parts
    trained: tuple[tuple[int, int], ...]
    """Each range to train, from the start of one part to the start of another."""
    absent: tuple[str, ...]
    """What no content may hold."""
    _texts: tuple[str, ...] = field(init=False, repr=False)
    _slots: tuple[tuple[int, Slot, bool], ...] = field(init=False, repr=False)

    @_texts.default
    def _texts_of_parts(self) -> tuple[str, ...]:
        return tuple(part if isinstance(part, str) else "" for part in self.parts)

    @_slots.default
    def _slots_of_parts(self) -> tuple[tuple[int, Slot, bool], ...]:
        placed = ((at, part) for at, part in enumerate(self.parts) if isinstance(part, Slot))
        return tuple((at, slot, slot == Slot(slot.index)) for at, slot in placed)

    def fill(self, contents: Sequence[str]) -> tuple[str, tuple[Span, ...]] | None:
        """The text of a conversation and its ranges to train; None where the proof does not hold."""
        if not all(contents) or any(map(str.isspace, contents)):
            return None
        if self.absent and any(said in content for content in contents for said in self.absent):
            return None
        texts = list(self._texts)
        for at, slot, whole in self._slots:
            content = contents[slot.index]
            texts[at] = content if whole else slot.fill(content)
        starts = list(accumulate(map(len, texts), initial=0))
        return "".join(texts), tuple([(starts[first], starts[behind]) for first, behind in self.trained])


@define
class LayoutProofs:
    """The layouts of one template, by the roles of a conversation and the messages to train."""

    text: str
    """The template."""
    _layouts: dict[Key, ProvedLayout | None] = field(factory=dict, init=False)
    _seen_once: set[Key] = field(factory=set, init=False)
    _slots: Slots = field(factory=Slots, init=False)
    _sealed: ChatTemplate | None = field(default=None, init=False)
    _is_hopeless: bool = field(default=False, init=False)

    def layout(self, template: ChatTemplate, roles: tuple[str, ...], to_train: frozenset[str]) -> ProvedLayout | None:
        """How a template writes all conversations of these roles; None if that is unproved, or not worth it yet.

        A proof takes as long as some renderings, so it waits until roles come for a second time.
        """
        key = (roles, to_train)
        try:
            return self._layouts[key]
        except KeyError:
            pass
        if len(self._layouts) + len(self._seen_once) >= MOST_KEPT:
            self._layouts.clear()
            self._seen_once.clear()
        if key not in self._seen_once:
            self._seen_once.add(key)
            return None
        found = self._layouts[key] = self._proved(template, roles, to_train)
        return found

    def _proved(self, template: ChatTemplate, roles: tuple[str, ...], to_train: frozenset[str]) -> ProvedLayout | None:
        if self._sealed is None and not self._is_hopeless:
            compiled = compile_sealed(self.text, self._slots)
            self._is_hopeless = compiled is None or any(EDGE in one for one in template.special_tokens.values())
            self._sealed = None if compiled is None else evolve(template, template=compiled)
        if self._sealed is None or self._is_hopeless or any(EDGE in role for role in roles):
            return None
        try:
            return _prove(template, self._sealed, self._slots, roles, to_train)
        except (LookedAtError, RowError):
            return None


def _prove(
    template: ChatTemplate, sealed: ChatTemplate, slots: Slots, roles: Sequence[str], to_train: frozenset[str]
) -> ProvedLayout | None:
    """A layout; raises LookedAtError or RowError where the template does not take just any contents."""
    wanted = [at for at, role in enumerate(roles) if role in to_train]
    contents = slots.contents(len(roles))
    chat: list[Message] = [{"role": role, "content": one} for role, one in zip(roles, contents, strict=True)]
    whole = sealed.render(chat)
    parts = slots.split(whole.text)
    if not template.marks_answers:
        ranges = _around_contents(layout_of(template.render, roles, wanted, template.special_tokens), parts)
    else:
        answers = sealed.answers(chat, whole, None)
        ranges = [one for at in wanted for one in _with_content(answers.get(at, ()), at, parts)]
    in_order = [edge for one in ranges for edge in one]
    if not ranges or in_order != sorted(in_order):
        return None
    pieces, trained = _cut(parts, ranges)
    return ProvedLayout(pieces, trained, tuple(slots.absent))


def _placed(parts: Widths) -> Iterator[tuple[int, int, str | Slot]]:
    """Parts with where they start and end."""
    ends = accumulate(width for _, width in parts)
    return ((end - width, end, part) for (part, width), end in zip(parts, ends, strict=True))


def _with_content(marked: Sequence[Span], index: int, parts: Widths) -> list[Span]:
    """The ranges that a template marks of a message, if they hold its content; else none, which is no proof."""
    ranges = [(start, end) for start, end in marked if start < end]
    slots = [(low, high) for low, high, part in _placed(parts) if isinstance(part, Slot) and part.index == index]
    held = any(start <= low and high <= end for start, end in ranges for low, high in slots)
    if not held:
        reason = "is not trained as a whole"
        raise RowError(reason)
    return ranges


def _around_contents(layout: Layout | None, parts: Widths) -> list[Span]:
    """The ranges of a layout that was found with other marks; none if it is not the same."""
    slots = [(low, high, part) for low, high, part in _placed(parts) if isinstance(part, Slot)]
    around = tuple(part for part, _ in parts if isinstance(part, str))
    if layout is None or around != layout.around or [part.index for *_, part in slots] != list(range(len(slots))):
        return []
    return [(slots[at][0] - before, slots[at][1] + behind) for at, before, behind in layout.trained]


def _cut(parts: Widths, ranges: Sequence[Span]) -> tuple[Parts, tuple[tuple[int, int], ...]]:
    """The parts, texts cut where ranges begin and end; and the ranges, counted in those."""
    edges = {edge for one in ranges for edge in one}
    pieces: list[str | Slot] = []
    number_at = {0: 0}
    for start, end, part in _placed(parts):
        inner = [start, *sorted(edge for edge in edges if start < edge < end), end]
        if isinstance(part, str):
            for low, high in pairwise(inner):
                pieces.append(part[low - start : high - start])
                number_at[high] = len(pieces)
        else:
            pieces.append(part)
            number_at[end] = len(pieces)
    return tuple(pieces), tuple((number_at[start], number_at[end]) for start, end in ranges)
