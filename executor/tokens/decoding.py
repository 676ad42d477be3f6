"""Token ids back to text, in parts that tell what is trained, what is special, and what a length limit cuts off."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from executor.data.examples import IGNORED
from executor.tokens.encoding import Encoded
from executor.tokens.row_layout import NAMES, RowLayout, positions
from state.values import frozen

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@frozen
class Part:
    """Consecutive tokens that are treated alike, as text."""

    text: str
    trained: bool
    special: bool
    """Whether it is one special token."""
    kept: bool
    """Whether it lies within the length limit."""
    answer: str = ""
    """Which of the answers of a row it belongs to, where there are such."""


def parts(tokenizer: Tokenizer, encoded: Encoded, limit: int, layout: RowLayout = "documents") -> tuple[Part, ...]:
    """A row as text, whose parts behind each other are the decoded row."""
    special = {number: token.content for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return tuple(_parts(tokenizer, encoded, limit, layout, special))


def _parts(
    tokenizer: Tokenizer, encoded: Encoded, limit: int, layout: RowLayout, special: dict[int, str]
) -> Iterator[Part]:
    ids, before = list(encoded.ids), ""
    places, names = positions(encoded.labels, layout), NAMES[layout]

    def look(at: int) -> tuple[bool, str, int, bool]:
        """What sets a token apart from the one before it; each special token stands alone."""
        label = encoded.labels[at]
        return label != IGNORED, names.get(label, ""), at if ids[at] in special else -1, places[at] < limit

    for (trained, answer, alone, kept), group in groupby(range(len(ids)), look):
        own = list(group)
        # Decoders treat the beginning of a text in their own ways, so a part is what it adds to those before it.
        text = tokenizer.decode(ids[: own[-1] + 1], skip_special_tokens=False)
        added = text.removeprefix(before) if text.startswith(before) else None
        if alone >= 0:
            added = special[ids[alone]]
        elif added is None:
            added = tokenizer.decode([ids[at] for at in own], skip_special_tokens=False)
        before = text
        yield Part(added, trained, alone >= 0, kept, answer)
