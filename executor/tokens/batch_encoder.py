"""Many texts to ids at once: cut by rules on arrays and looked up in a table; Python does nothing for each token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from executor.tokens.piece_table import NOTHING, PieceTable
from executor.tokens.pre_tokens import EDGE, NARROW_EDGE
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ID_BYTES = 4
_TOP_BITS, _FOLLOWING = 0xC0, 0x80
"""Of a byte of UTF-8, and what they are in all bytes of a character but the first."""
_UNTOLD = "\0"
"""The character that the table cannot tell from the end of a piece."""


class Rules(Protocol):
    """Where to cut."""

    def begins(self, characters: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
        """Whether a piece begins at each character of some texts with edges between them; at every edge one does."""


@frozen
class BatchEncoder:
    """Encodes texts that its user is certain of, with one tokenizer's rules, added tokens and model."""

    rules: Rules
    table: PieceTable
    split_added: Callable[[str], list[str]]
    """Cuts a text at added tokens, which stand at the odd places."""
    added: Mapping[str, int]
    """The number of each in the table."""

    @staticmethod
    def of(
        rules: Rules,
        ids_of_piece: Callable[[str], bytes],
        split_added: Callable[[str], list[str]],
        added: Mapping[str, bytes],
    ) -> BatchEncoder:
        """An encoder with an empty table."""
        table = PieceTable(lambda piece: ids_of_piece(piece.decode()), tuple(added.values()))
        return BatchEncoder(rules, table, split_added, {text: at for at, text in enumerate(added, start=NOTHING + 1)})

    def takes(self, text: str) -> bool:
        """Whether a text holds nothing that is taken for an end."""
        return _UNTOLD not in text and EDGE not in text

    def cut(self, text: str) -> list[str]:
        """The pre-tokens of a text without added tokens, whose characters the rules know."""
        import numpy as np

        characters = np.frombuffer((text + EDGE).encode("utf-32-le"), np.uint32)
        begins = np.flatnonzero(self.rules.begins(characters)).tolist()
        return [text[start:end] for start, end in pairwise(begins)]

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """The packed ids of each text, whose characters the rules know; no special tokens added."""
        made: list[bytes] = [b""] * len(texts)
        for of_one_byte in (True, False):
            chosen = [at for at, text in enumerate(texts) if text.isascii() is of_one_byte]
            if chosen:
                encoded = self._alike([texts[at] for at in chosen], narrow=of_one_byte)
                for at, ids in zip(chosen, encoded, strict=True):
                    made[at] = ids
        return made

    def _alike(self, texts: Sequence[str], *, narrow: bool) -> list[bytes]:
        """The ids of texts that are all of ASCII characters, or none of them."""
        import numpy as np

        pieces, behind = self._between_added(texts)
        if narrow:
            content = NARROW_EDGE.join(map(str.encode, pieces)) + NARROW_EDGE
            characters: NDArray[np.unsignedinteger] = np.frombuffer(content, np.uint8)
            begins = np.flatnonzero(self.rules.begins(characters))
            edges = characters[begins] == NARROW_EDGE[0]
        else:
            text = EDGE.join(pieces) + EDGE
            content, characters = text.encode(), np.frombuffer(text.encode("utf-32-le"), np.uint32)
            begins = np.flatnonzero(self.rules.begins(characters))
            edges = characters[begins] == ord(EDGE)
            begins = np.flatnonzero((np.frombuffer(content, np.uint8) & _TOP_BITS) != _FOLLOWING)[begins]
        sizes = np.diff(begins, append=len(content))
        numbers = np.empty(len(begins), np.int32)
        numbers[~edges] = self.table.numbers(content, begins[~edges], sizes[~edges])
        numbers[edges] = behind
        ids, ends = self.table.ids(numbers)
        packed = ids.tobytes()
        of_texts = [0, *(_ID_BYTES * ends[np.flatnonzero(edges)[np.equal(behind, NOTHING)]]).tolist()]
        return [packed[start:end] for start, end in pairwise(of_texts)]

    def _between_added(self, texts: Sequence[str]) -> tuple[list[str], list[int]]:
        """What stands between added tokens in all texts, and the number of what stands behind each of those."""
        pieces: list[str] = []
        behind: list[int] = []
        for text in texts:
            parts = self.split_added(text)
            pieces += parts[::2]
            behind += map(self.added.__getitem__, parts[1::2])
            behind.append(NOTHING)
        return pieces, behind
