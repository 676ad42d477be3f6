"""Which of the tokens that end a turn are trained, by the rules that Axolotl's `train_on_eos` names.

"turn": those of the messages that are trained; "all": those of all messages; "last": only the last one of the
conversation; "none": none. (axolotl/prompt_strategies/chat_template.py; a template's own end-of-turn tokens are treated
as the tokenizer's end token is.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

TrainOnEos: TypeAlias = Literal["turn", "all", "last", "none"]


def with_ends(
    text: str, spans: Sequence[tuple[int, int]], rule: TrainOnEos, end_token: str, control_tokens: Sequence[str]
) -> tuple[tuple[int, int], ...]:
    """The ranges to train, given those of the messages that are trained with whatever closes them.

    A turn is ended by the control token behind which its range holds only white space, and by the tokenizer's end
    token (`end_token`, "" if it has none), wherever it stands.
    """
    if rule == "turn":
        return tuple(spans)
    ends = tuple(
        dict.fromkeys(filter(None, [*(_end_of(text[start:end], control_tokens) for start, end in spans), end_token]))
    )
    written = _places(text, ends)
    if rule == "all":
        return _joined([*spans, *written])
    kept = [(start, start + len(_without(text[start:end], ends))) for start, end in spans]
    return _joined([*kept, *(written[-1:] if rule == "last" else ())])


def _end_of(turn: str, control_tokens: Sequence[str]) -> str:
    """The control token that ends a turn; the longest if several do, "" if none does."""
    words = turn.rstrip()
    return max((token for token in control_tokens if token and words.endswith(token)), key=len, default="")


def _without(turn: str, ends: Sequence[str]) -> str:
    """A turn without the token that ends it and the white space behind it."""
    end = _end_of(turn, ends)
    return turn.rstrip().removesuffix(end) if end else turn


def _places(text: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    longest_first = sorted(tokens, key=len, reverse=True)
    return [match.span() for match in re.finditer("|".join(map(re.escape, longest_first)) or "(?!)", text)]


def _joined(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges in order, those that touch or overlap as one, empty ones left out."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)
