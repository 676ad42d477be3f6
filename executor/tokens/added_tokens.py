"""What a tokenizer adds: ids around a text, and tokens to its vocabulary."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING

from state.values import frozen

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@frozen
class AddedTokens:
    """What a tokenizer puts around a text, and which tokens were added to it."""

    before: bytes
    """Ids that it puts before a text, packed."""
    after: bytes
    are_around: bool
    """Whether it is certain that these are all that it puts there."""
    ids: Mapping[str, int]
    """Of all added tokens, by what they say."""
    special: tuple[str, ...]
    """Those that steer a model."""


def added_tokens(tokenizer: Tokenizer) -> AddedTokens:
    """Those of a tokenizer."""
    bare, full = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
    places = [at for at in range(len(full)) if bare and full[at : at + len(bare)] == bare]
    before, after = (full[: places[0]], full[places[0] + len(bare) :]) if places else ((), ())
    known = tokenizer.get_added_tokens_decoder()
    return AddedTokens(
        before=array("i", before).tobytes(),
        after=array("i", after).tobytes(),
        are_around=len(places) == 1,
        ids={token.content: number for number, token in known.items()},
        special=tuple(token.content for token in known.values() if token.special),
    )
