"""Where pre-tokens begin, for many texts at once: the expressions of GPT-2, Llama 3 and Qwen as rules on neighbours.

An expression is matched piece by piece, while all that these three ask is what stands around a character: a letter,
a number, white space, a line end, or anything else. So each rule is one operation on an array of characters. That the
rules do what the expression does is proved by whoever uses them (`byte_pairs`); nothing here trusts itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import field

from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What ByteLevel cuts by itself (tokenizers, pre_tokenizers/byte_level.rs)."""
_LATER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)

EDGE, NARROW_EDGE = "\U0010ffff", b"\xff"
"""Stands between texts, and in place of added tokens; the latter where all characters are ASCII and take one byte."""
_LETTER, _NUMBER, _OTHER, _SPACE, _WHITE, _LINE_END, _EDGE, _UNKNOWN = (1 << at for at in range(8))
_BLANK = _SPACE | _WHITE | _LINE_END
_CHARACTERS, _BYTES = 0x110000, 0x100
_BEFORE, _BEHIND = 2, 3
"""Characters that rules look back and ahead; there are edges beyond the first and the last one."""
_ONE, _TWO = b"stmd", (b"re", b"ve", b"ll")
"""What is cut off behind an apostrophe."""


@frozen
class Rules:
    """What sets the expressions apart."""

    numbers: int
    """The most digits of a pre-token; 0 for any number of them, and a space before."""
    is_later: bool
    """Llama 3's and Qwen's: letters take any other character before them, line ends stand apart, case plays no part."""
    classes: NDArray[np.uint8] = field(factory=lambda: _classes(_CHARACTERS), eq=False, repr=False)
    """The class of each character, found out as they come."""
    narrow: NDArray[np.uint8] = field(factory=lambda: _classes(_BYTES), eq=False, repr=False)
    """The same for ASCII."""

    def learn(self, characters: Iterable[str]) -> None:
        """Find out the class of characters."""
        for one in characters:
            self.classes[ord(one)] = _class(one)

    def begins(self, characters: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
        """Whether a pre-token begins at each character of some texts, which are known, with edges between them.

        Characters are numbers of 32 bits, or of 8 where all are ASCII.
        """
        import numpy as np

        edges = np.full(len(characters) + _BEFORE + _BEHIND, _EDGE, np.uint8)
        edges[_BEFORE:-_BEHIND] = (self.narrow if characters.itemsize == 1 else self.classes)[characters]
        near = _Neighbours(edges)
        begins = self._plain(near)
        self._numbers(near, begins)
        self._blanks(near, begins)
        self._after_apostrophes(near, begins, characters)
        return begins

    def _plain(self, near: _Neighbours) -> NDArray[np.bool_]:
        """Edges, letters, and what is neither letter, number nor blank; a space before belongs to them."""
        begins = near.is_a(_EDGE)
        first = near.is_a(_LETTER) & ~near.is_a(_LETTER, -1)
        taken = near.is_a(_SPACE, -1)
        others = near.is_a(_OTHER) & ~near.is_a(_OTHER, -1) & ~taken
        if self.is_later:
            alone = near.is_a(_OTHER, -1) & ~near.is_a(_OTHER | _SPACE, -2)
            taken = near.is_a(_SPACE | _WHITE, -1) | alone
        return begins | others | (first & ~taken)

    def _numbers(self, near: _Neighbours, begins: NDArray[np.bool_]) -> None:
        import numpy as np

        is_number = near.is_a(_NUMBER)
        if self.numbers == 0:
            begins |= is_number & ~near.is_a(_NUMBER | _SPACE, -1)
        elif self.numbers == 1:
            begins |= is_number
        else:
            places = np.flatnonzero(is_number)
            count = np.arange(len(places))
            behind_first = count - np.maximum.accumulate(np.where(near.is_a(_NUMBER, -1)[places], 0, count))
            begins[places[behind_first % self.numbers == 0]] = True

    def _blanks(self, near: _Neighbours, begins: NDArray[np.bool_]) -> None:
        """Blanks up to the last line end stand apart; of others, the last one goes to what follows."""
        import numpy as np

        is_blank = near.is_a(_BLANK)
        before, behind = near.is_a(_BLANK, -1), near.is_a(_BLANK, 1)
        after_other = near.is_a(_OTHER, -1) if self.is_later else np.zeros_like(is_blank)
        begins |= is_blank & ~before & ~behind & ~(near.is_a(_LINE_END) & after_other)
        places = np.flatnonzero(is_blank & (before | behind))
        if not len(places):
            return
        count = np.arange(len(places))
        firsts = np.flatnonzero(~before[places])
        lasts = np.append(firsts[1:], len(places)) - 1
        ends_line = near.is_a(_LINE_END)[places] if self.is_later else np.zeros(len(places), bool)
        no_end = np.minimum.reduceat(np.where(ends_line, len(places), count), firsts)
        starts = np.where(after_other[places[firsts]], np.minimum(no_end, lasts + 1), firsts)
        rest = np.maximum(np.maximum.reduceat(np.where(ends_line, count, -1), firsts) + 1, starts)
        followed = ~near.is_a(_EDGE, 1)[places[lasts]]
        for chosen, there in ((starts, starts <= lasts), (rest, rest <= lasts), (lasts, (rest <= lasts) & followed)):
            begins[places[chosen[there]]] = True

    def _after_apostrophes(
        self, near: _Neighbours, begins: NDArray[np.bool_], characters: NDArray[np.unsignedinteger]
    ) -> None:
        """English short forms are cut off with their apostrophe where a pre-token begins with it."""
        import numpy as np

        places = np.flatnonzero(characters == ord("'"))
        places = places[begins[places] & near.is_a(_LETTER, 1)[places]]
        following = np.append(characters, np.zeros(2, characters.dtype))
        case = 0x20 if self.is_later else 0
        first, second = following[places + 1] | case, following[places + 2] | case
        of_one = np.isin(first, list(_ONE))
        of_two = np.logical_or.reduce([(first == one) & (second == two) for one, two in _TWO])
        begins[places[of_one | of_two] + 1] = False
        ends = np.concatenate((places[of_one] + 2, places[of_two] + 3))
        ends = ends[ends < len(begins)]
        begins[ends[near.is_a(_LETTER)[ends]]] = True


RULES = {
    GPT2: (0, False),
    r"\p{N}".join(_LATER): (1, True),
    r"\p{N}{1,3}".join(_LATER): (3, True),
}
"""The number of digits, and whether it is a later one, of each expression that is known."""


def rules_for(expression: str) -> Rules | None:
    """The rules that do what an expression does; None for one that is not known."""
    return Rules(*RULES[expression]) if expression in RULES else None


@frozen
class _Neighbours:
    """The classes of characters, with edges around them."""

    classes: NDArray[np.uint8]

    def is_a(self, kinds: int, distance: int = 0) -> NDArray[np.bool_]:
        """Whether each character, or the one at a distance from it, is of one of some classes."""
        start = _BEFORE + distance
        found: NDArray[np.bool_] = (self.classes[start : len(self.classes) - _BEFORE - _BEHIND + start] & kinds) != 0
        return found


def _classes(count: int) -> NDArray[np.uint8]:
    import numpy as np

    classes = np.full(count, _UNKNOWN, np.uint8)
    classes[ord(EDGE) if count > _BYTES else NARROW_EDGE[0]] = _EDGE
    for number in range(128):
        classes[number] = _class(chr(number))
    return classes


def _class(character: str) -> int:
    if character in "\r\n":
        return _LINE_END
    if character == " ":
        return _SPACE
    if character.isspace() and not "\x1c" <= character <= "\x1f":
        return _WHITE
    return {"L": _LETTER, "N": _NUMBER}.get(unicodedata.category(character)[0], _OTHER)
