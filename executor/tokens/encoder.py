"""Texts to ids and labels in batches: directly where that is proved for a tokenizer, through its library elsewhere."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from executor.data.chat_messages import RowError
from executor.data.examples import IGNORED
from executor.templating.chat_template import Rendered
from executor.tokens import proved_pairs
from executor.tokens.added_tokens import AddedTokens, added_tokens
from executor.tokens.byte_pairs import BytePairs, byte_pairs
from executor.tokens.encoding import NOTHING_TRAINED, Encoded, labelled
from executor.tokens.piece_table import PieceTable
from executor.tokens.space_pieces import SpacePieces, space_pieces
from state.values import frozen

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Direct: TypeAlias = BytePairs | SpacePieces
_ID_BYTES = 4


@frozen
class Met:
    """What was new to a process in texts that it encoded."""

    pieces: Mapping[bytes, bytes]
    """Pieces with their ids."""
    characters: Mapping[str, bool]
    """Characters, and whether they are cut as the library cuts them."""


@frozen
class Encoder:
    """A tokenizer, and the fast way to its ids if there is one."""

    load: Callable[[], Tokenizer]
    """The tokenizer, which takes a while the first time; often the fast way needs nothing of it."""
    direct: Direct | None
    added: AddedTokens

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer."""
        return self.load()

    @property
    def name(self) -> str:
        """How texts are encoded, for the record; the ids are the same."""
        return "tokenizers" if self.direct is None else "pre-token cache"

    @property
    def table(self) -> PieceTable | None:
        """The pieces that were met, if that is how texts are encoded."""
        return None if self.direct is None or self.direct.batches is None else self.direct.batches.table

    def met(self) -> Met:
        """What was new since this was last asked."""
        pieces = {} if self.table is None else self.table.met()
        return Met(pieces, self.direct.met() if isinstance(self.direct, BytePairs) else {})

    def learn(self, met: Met) -> None:
        """Know what another process met."""
        if self.table is not None and met.pieces:
            self.table.learn(met.pieces)
        if isinstance(self.direct, BytePairs):
            self.direct.learn(met.characters)

    def conversations(self, rendered: Sequence[Rendered]) -> list[Encoded | RowError]:
        """Rendered conversations; no special tokens are added, and a token is trained if any of its characters is.

        What yields no trained token is an error, which stands in its place.
        """
        buffers = self._direct([one.text for one in rendered])
        known = [(one, ids) for one, ids in zip(rendered, buffers, strict=True) if ids is not None]
        others = [one for one, ids in zip(rendered, buffers, strict=True) if ids is None]
        quick = iter(_labelled_directly(self.direct, known) if self.direct and known else ())
        texts = [one.text for one in others]
        encodings = self.tokenizer.encode_batch(texts, add_special_tokens=False) if texts else ()
        slow = (labelled(encoding, one.spans) for one, encoding in zip(others, encodings, strict=True))
        return [next(slow) if ids is None else next(quick) for ids in buffers]

    def ids(self, texts: Sequence[str], *, special: bool = False) -> list[array[int]]:
        """The ids of texts; with the special tokens that the tokenizer puts around a text, if asked."""
        buffers = self._direct(texts)
        others = [text for text, ids in zip(texts, buffers, strict=True) if ids is None]
        slow = iter(self.tokenizer.encode_batch(others, add_special_tokens=special) if others else ())
        before, after = (self.added.before, self.added.after) if special else (b"", b"")
        return [
            array("i", next(slow).ids) if ids is None else array("i", b"".join((before, ids, after))) for ids in buffers
        ]

    def texts(self, texts: Sequence[str], end_id: int) -> list[Encoded]:
        """Plain texts, all of it trained: the tokenizer adds its beginning, and an end is added if there is none."""
        found = self.ids(texts, special=True)
        for ids in found:
            if not ids or ids[-1] != end_id:
                ids.append(end_id)
        return [Encoded(ids, ids[:]) for ids in found]

    def _direct(self, texts: Sequence[str]) -> list[bytes | None]:
        return [None] * len(texts) if self.direct is None else self.direct.encode_all(texts)


def encoder(load: Callable[[], Tokenizer], proved: Path | None = None) -> Encoder:
    """The fastest encoder that is proved for a tokenizer: now, or before, as a file says."""
    found = proved_pairs.load(proved, load) if proved else None
    if found is not None:
        return Encoder(load, *found)
    added, tokenizer = added_tokens(load()), load()
    return Encoder(load, (byte_pairs(tokenizer) or space_pieces(tokenizer)) if added.are_around else None, added)


def _labelled_directly(direct: Direct, rows: Sequence[tuple[Rendered, bytes]]) -> Iterator[Encoded | RowError]:
    """Labels of all rows at once: as bytes, tokens lie behind each other as the text does."""
    import numpy as np

    ids = np.frombuffer(b"".join([one for _, one in rows]), np.int32)
    widths = np.frombuffer(direct.widths, np.int32)[ids]
    ends = np.cumsum(widths, dtype=np.int64)
    edges = [direct.shifted(rendered.text, _byte_edges(rendered)) for rendered, _ in rows]
    bases = list(accumulate((one[-1] for one in edges), initial=0))
    lows = [base + low for base, one in zip(bases, edges, strict=False) for low in one[:-1:2]]
    highs = [base + high for base, one in zip(bases, edges, strict=False) for high in one[1::2]]
    firsts, behind = np.searchsorted(ends, lows, "right"), np.searchsorted(ends - widths, highs, "left")
    labels = np.full(len(ids), IGNORED, np.int32)
    for start, end in zip(firsts.tolist(), behind.tolist(), strict=True):
        labels[start:end] = ids[start:end]
    return _cut([one for _, one in rows], labels)


def _cut(buffers: Sequence[bytes], labels: Any) -> Iterator[Encoded | RowError]:  # noqa: ANN401  numpy's array
    packed, start = labels.tobytes(), 0
    for ids, trained in zip(buffers, trained_counts(packed, [len(ids) // _ID_BYTES for ids in buffers]), strict=True):
        own = array("i", packed[start : start + len(ids)])
        start += len(ids)
        yield Encoded(array("i", ids), own) if trained else RowError(NOTHING_TRAINED)


def trained_counts(labels: bytes, lengths: Sequence[int]) -> array[int]:
    """How many tokens of each document are trained, by their packed labels behind each other."""
    import numpy as np

    before = np.cumsum(np.frombuffer(labels, np.int32) != IGNORED, dtype=np.int32)
    at_ends = np.append(np.int32(0), before)[np.cumsum([0, *lengths])]
    return array("i", np.diff(at_ends).tobytes())


def _byte_edges(rendered: Rendered) -> list[int]:
    """Where the trained ranges start and end in turns, and then the text itself, in bytes."""
    text = rendered.text
    edges = [edge for span in rendered.spans for edge in span]
    if text.isascii():
        return [*edges, len(text)]
    at = [0, *edges, len(text)]
    return list(accumulate(len(text[low:high].encode()) for low, high in pairwise(at)))
