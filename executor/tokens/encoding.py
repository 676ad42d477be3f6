"""Text to token ids, with a label for each: the id itself where it is trained, and IGNORED elsewhere.

Masks are those of transformers' `apply_chat_template(return_assistant_tokens_mask=True)`, without its mistakes: where
the last character of a range has no token of its own, it trains everything up to the end of the conversation, and where
the first one has none, nothing of that range and of those behind it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from executor.data.chat_messages import RowError
from executor.data.examples import IGNORED
from executor.templating.chat_template import Span
from state.values import frozen

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

NOTHING_TRAINED = "yields no trained token: the tokenizer has no tokens for what is to be trained"


@frozen
class Encoded:
    """Token ids, and as many labels; 32-bit integers, as they are written."""

    ids: array[int]
    labels: array[int]


def whole(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer without the cutting and padding that tokenizer.json may ask for: both would change rows unseen."""
    if tokenizer.truncation is not None:
        tokenizer.no_truncation()
    if tokenizer.padding is not None:
        tokenizer.no_padding()
    return tokenizer


def labelled(encoding: Encoding, spans: Sequence[Span]) -> Encoded | RowError:
    """What a tokenizer made of a text, with labels in some ranges of its characters; why not, if none is trained."""
    ids, offsets = array("i", encoding.ids), encoding.offsets
    labels = array("i", [IGNORED]) * len(ids)
    for start, end in spans:
        first = bisect_right(offsets, start, key=_end)
        behind = bisect_left(offsets, end, lo=first, key=_start)
        labels[first:behind] = ids[first:behind]
    return RowError(NOTHING_TRAINED) if labels.count(IGNORED) == len(labels) else Encoded(ids, labels)


def _start(offset: Span) -> int:
    """Where a token starts; one that byte-level tokenizers trimmed to nothing was the space before its place."""
    start, end = offset
    return start if start < end else start - 1


def _end(offset: Span) -> int:
    return offset[1]
