"""Text to token ids, with a label for each: the id itself where it is trained, and IGNORED elsewhere.

Masks are those of transformers' `apply_chat_template(return_assistant_tokens_mask=True)`, without its mistakes: where
the last character of a range has no token of its own, it trains everything up to the end of the conversation, and where
the first one has none, nothing of that range and of those behind it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from executor.chat_messages import RowError
from executor.chat_template import Rendered, Span

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

IGNORED = -100
"""The label that every loss of PyTorch leaves out."""


@frozen
class Encoded:
    """Token ids, and as many labels."""

    ids: Sequence[int]
    labels: Sequence[int]


def encode_conversation(tokenizer: Tokenizer, rendered: Rendered) -> Encoded:
    """A rendered conversation; a token is trained if any of its characters lies in a range that is.

    Special tokens are the template's business: the tokenizer adds none. Raises RowError if no token is trained.
    """
    return _labelled(whole(tokenizer).encode(rendered.text, add_special_tokens=False), rendered.spans)


def encode_conversations(tokenizer: Tokenizer, rendered: Sequence[Rendered]) -> list[Encoded | RowError]:
    """Many conversations on all processors, each as `encode_conversation` does it; errors stand in their places."""
    encodings = whole(tokenizer).encode_batch([one.text for one in rendered], add_special_tokens=False)
    return [_labelled_or_why(encoding, one.spans) for encoding, one in zip(encodings, rendered, strict=True)]


def encode_text(tokenizer: Tokenizer, text: str, end_id: int) -> Encoded:
    """A plain text, all of it trained: the tokenizer adds its beginning, and an end is added if there is none."""
    return _ended(whole(tokenizer).encode(text).ids, end_id)


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], end_id: int) -> list[Encoded]:
    """Many plain texts on all processors, each as `encode_text` does it."""
    return [_ended(encoding.ids, end_id) for encoding in whole(tokenizer).encode_batch(texts)]


def whole(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer without the cutting and padding that tokenizer.json may ask for: both would change rows unseen."""
    if tokenizer.truncation is not None:
        tokenizer.no_truncation()
    if tokenizer.padding is not None:
        tokenizer.no_padding()
    return tokenizer


def _labelled_or_why(encoding: Encoding, spans: Sequence[Span]) -> Encoded | RowError:
    try:
        return _labelled(encoding, spans)
    except RowError as error:
        return error


def _labelled(encoding: Encoding, spans: Sequence[Span]) -> Encoded:
    ids, offsets = encoding.ids, encoding.offsets
    labels = [IGNORED] * len(ids)
    for start, end in spans:
        first = bisect_right(offsets, start, key=_end)
        behind = bisect_left(offsets, end, lo=first, key=_start)
        labels[first:behind] = ids[first:behind]
    if labels.count(IGNORED) == len(labels):
        reason = "yields no trained token: the tokenizer has no tokens for what is to be trained"
        raise RowError(reason)
    return Encoded(ids, labels)


def _start(offset: Span) -> int:
    """Where a token starts; one that byte-level tokenizers trimmed to nothing was the space before its place."""
    start, end = offset
    return start if start < end else start - 1


def _end(offset: Span) -> int:
    return offset[1]


def _ended(ids: list[int], end_id: int) -> Encoded:
    ids = ids if ids and ids[-1] == end_id else [*ids, end_id]
    return Encoded(ids, list(ids))
