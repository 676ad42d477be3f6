"""Rows that wait: for those before them, or to be encoded."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, ClassVar

from executor.data.dataset_fields import Dataset
from executor.tokens.chunk_encoding import EncodedChunk
from executor.tokens.row_cache import KnownLines
from executor.tokens.row_chunks import Chunk
from state.values import frozen, mutable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@mutable
class WaitingRows:
    """Rows of which some are new; those have no number until they are encoded."""

    dataset: Dataset
    chunk: Chunk
    digests: Sequence[bytes]
    keys: NDArray[np.uint64]
    numbers: NDArray[np.int64]
    new: Sequence[int]
    first: int = 0
    """The number of the first line, where the rows are a stretch of lines that is kept by one key."""
    behind: int = 0
    """The number of the line behind the last one, there."""
    stretch_key: bytes = b""
    work: Future[EncodedChunk] | None = None
    """What another process makes of the new ones, if they were given to one."""
    encoded: EncodedChunk | None = None
    """What this process made of them before it was their turn."""

    @property
    def is_taken(self) -> bool:
        """Whether nothing is left to be done that another process has not begun."""
        return not self.new or self.work is not None or self.encoded is not None

    @property
    def is_done(self) -> bool:
        """Whether nothing has to be waited for, or done here."""
        return self.is_taken if self.work is None else self.work.done()

    @property
    def new_rows(self) -> Chunk:
        """Those that have to be encoded."""
        return self.chunk if len(self.new) == len(self.keys) else self.chunk.some(self.new)


@frozen
class KnownRows:
    """A stretch of lines that wait for nothing but those before them."""

    name: str
    """The file."""
    first: int
    """The number of the first line."""
    lines: KnownLines
    is_done: ClassVar = True
