"""What became of all rows of some datasets, in some twenty bytes for each."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING

from attrs import define, field

from executor.data.broken_rows import BrokenRows
from executor.tokens.documents import Question
from executor.tokens.row_cache import KnownLines
from executor.tokens.row_chunks import Chunk, short
from executor.tokens.row_index import UNKNOWN
from state.diagnostic import Place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@define
class EncodedRows:
    """All rows in order, by their number in the cache; and the first of those that are broken."""

    names: dict[str, int] = field(factory=dict)
    """Files, numbered as they come."""
    files: array[int] = field(factory=lambda: array("I"))
    lines: array[int] = field(factory=lambda: array("I"))
    numbers: array[int] = field(factory=lambda: array("I"))
    digests: array[int] = field(factory=lambda: array("Q"))
    """The first 8 bytes of the digest of what each row says, broken ones included as far as they can be read."""
    questions: list[Question] = field(factory=list)
    broken: BrokenRows = field(factory=BrokenRows)
    """Those that are to be reported."""
    skipped: int = 0
    """Broken rows that a dataset says to pass over."""
    new: int = 0
    """How many were not in the cache."""
    encoder: str = ""
    """By which way new rows were encoded."""

    def place(self, at: int) -> Place:
        """Where a row stands."""
        return Place(list(self.names)[self.files[at]], self.lines[at])

    def add(self, chunk: Chunk, digests: Sequence[bytes], numbers: NDArray[np.int64]) -> None:
        """The next rows; those whose number is UNKNOWN are broken."""
        names, lines = chunk.places()
        for name in dict.fromkeys(names):
            self.names.setdefault(name, len(self.names))
        sound = numbers != UNKNOWN
        self.files.extend(map(self.names.__getitem__, compress(names, sound)))
        self.lines.extend(compress(lines, sound))
        self.numbers.extend(numbers[sound].tolist())
        self.digests.frombytes(short(digests))

    def add_known(self, name: str, first: int, known: KnownLines) -> None:
        """The rows of lines that were all met before, and are sound; the first line has a number."""
        import numpy as np

        number = self.names.setdefault(name, len(self.names))
        self.files.extend(array("I", [number]) * len(known.numbers))
        self.lines.frombytes((np.asarray(known.lines) + np.uint32(first)).tobytes())
        self.numbers.extend(known.numbers)
        self.digests.extend(known.digests)
