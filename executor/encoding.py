"""Text to token ids, with a label for each: the id itself where it is trained, and IGNORED elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from executor.chat_template import Rendered

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IGNORED = -100
"""The label that every loss of PyTorch leaves out."""


@frozen
class Encoded:
    """Token ids, and as many labels."""

    ids: Sequence[int]
    labels: Sequence[int]


def encode_conversation(tokenizer: Tokenizer, rendered: Rendered) -> Encoded:
    """A rendered conversation; a token is trained if any of its characters lies in a span.

    Special tokens are the template's business: the tokenizer adds none.
    """
    encoded = tokenizer.encode(rendered.text, add_special_tokens=False)
    ids, offsets = encoded.ids, encoded.offsets
    labels = [IGNORED] * len(ids)
    at = 0
    for start, end in rendered.spans:
        while at < len(ids) and offsets[at][1] <= start:
            at += 1
        while at < len(ids) and offsets[at][0] < end:
            labels[at] = ids[at]
            at += 1
    return Encoded(ids, labels)


def encode_text(tokenizer: Tokenizer, text: str, end_id: int) -> Encoded:
    """A plain text, all of it trained: the tokenizer adds its beginning, and an end is added if there is none."""
    ids = tokenizer.encode(text).ids
    ids = ids if ids and ids[-1] == end_id else [*ids, end_id]
    return Encoded(ids, list(ids))
