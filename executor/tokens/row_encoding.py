"""Every row of some datasets, encoded: found in the cache where its content is known, else made on all processors."""

from __future__ import annotations

import os
import time
from array import array
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from attrs import define, field

from executor import formats
from executor.data.dataset_fields import Dataset
from executor.tokens import proved_pairs
from executor.tokens.byte_pairs import BytePairs
from executor.tokens.chunk_encoding import EncodedChunk, encode_chunk, encode_elsewhere, end_with_parent
from executor.tokens.documents import Formatter, FormatterSettings
from executor.tokens.encoded_rows import EncodedRows
from executor.tokens.encoder import Encoder
from executor.tokens.row_cache import Block, KnownLines, RowCache
from executor.tokens.row_chunks import Chunk, Lines, Parsed, Stretch, short
from executor.tokens.row_index import UNKNOWN
from executor.tokens.waiting_rows import KnownRows, WaitingRows
from planner.structure import settings_of
from state.canonical import digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORTH_SECONDS = 1.0
"""So much work must be left for one process for others to be worth their start, which takes a half of it."""
_NO_DIGEST = bytes(16)
"""Of rows that cannot be read, which are never kept."""
_AHEAD = 2
"""Chunks that another process is given at a time, so that it never waits."""
_MOST_WAITING = 32
"""Chunks that may wait to be encoded, or for an earlier one, so that memory stays bounded."""


@define
class RowEncoding:
    """Encodes rows in chunks that are settled in their order, whoever encodes them.

    As many as may wait are read before any is encoded here, so that where little is new all else is known by then.
    """

    settings: FormatterSettings
    cache: RowCache
    expected: int
    """How many rows there will be, more or less."""
    processes: int = field(factory=lambda: len(os.sched_getaffinity(0)) - 1)
    """Other processes that may be started to help."""
    pieces: Path | None = None
    """Where pieces of text are kept with their ids, so that the next time they are not new."""
    found: EncodedRows = field(factory=EncodedRows, init=False)
    _waiting: deque[WaitingRows | KnownRows] = field(factory=deque, init=False)
    _pool: ProcessPoolExecutor | None = field(default=None, init=False)
    _seen: int = field(default=0, init=False)
    """Rows that were looked up, and how many of these were new."""
    _new: int = field(default=0, init=False)
    _encoded_rows: int = field(default=0, init=False)
    """Rows that were encoded here, and how long that took."""
    _seconds: float = field(default=0.0, init=False)
    _formatter: Formatter | None = field(default=None, init=False)
    _line: int = field(default=1, init=False)
    """The number of the line behind those of the file that is being read."""
    _known_pieces: int = field(default=0, init=False)
    _salted: tuple[Dataset | None, bytes] = field(default=(None, b""), init=False)
    """The dataset that was read last, and what its rows are told apart by."""

    def __enter__(self) -> Self:
        """Processes are started when they are worth it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the other processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def take(self, dataset: Dataset, chunk: Stretch | Parsed) -> None:
        """Look rows up, and have those encoded that are new: always those with questions, which are not kept."""
        if dataset is not self._salted[0]:
            self._salted = dataset, _salt(dataset)
        stretch = chunk if isinstance(chunk, Stretch) and not self.settings.with_questions else None
        key = b"" if stretch is None else _keys([stretch.digest()], self._salted[1]).tobytes()
        known = None if stretch is None else self.cache.lines(key)
        first = 1 if isinstance(chunk, Stretch) and chunk.is_first else self._line
        if stretch is not None and known is not None:
            self._waiting.append(KnownRows(stretch.name, first, known))
            self._seen += len(known.numbers)
            self._line = first + known.count
        elif isinstance(chunk, Stretch):
            lines = chunk.lines(first)
            self._take_rows(dataset, lines, first, key)
            self._line = lines.behind
        else:
            self._take_rows(dataset, chunk)
        while self._waiting and (len(self._waiting) > _MOST_WAITING or self._waiting[0].is_done):
            self.settle_next()

    def _take_rows(self, dataset: Dataset, chunk: Chunk, first: int = 0, stretch_key: bytes = b"") -> None:
        import numpy as np

        digests = chunk.digests()
        keys = _keys([one or _NO_DIGEST for one in digests], self._salted[1])
        forgotten = self.settings.with_questions
        numbers = np.full(len(keys), UNKNOWN, np.int64) if forgotten else self.cache.find(keys)
        new = np.flatnonzero(numbers == UNKNOWN).tolist()
        self._seen, self._new = self._seen + len(keys), self._new + len(new)
        behind = chunk.behind if isinstance(chunk, Lines) else 0
        self._waiting.append(WaitingRows(dataset, chunk, digests, keys, numbers, new, first, behind, stretch_key))
        self._give()

    @property
    def is_waiting(self) -> bool:
        """Whether rows are still to be counted in."""
        return bool(self._waiting)

    def settle_next(self) -> bool:
        """Have the next chunk in order encoded, if it is not, and count its rows in; False if none is left."""
        if self._waiting:
            self._settle(self._waiting[0])
            self._waiting.popleft()
        return bool(self._waiting)

    def finish(self) -> EncodedRows:
        """All rows, when the last one is encoded."""
        while self.settle_next():
            pass
        if self._formatter is not None:
            self._remember_encoder(self._formatter.encoder)
        return self.found

    def _remember_encoder(self, encoder: Encoder) -> None:
        """Keep what was proved of it, and what was learnt of pieces and characters."""
        table, direct = encoder.table, encoder.direct
        if self.pieces is not None and table is not None and len(table) > self._known_pieces:
            table.save(self.pieces)
        if self.settings.proved is not None and isinstance(direct, BytePairs):
            proved_pairs.save(self.settings.proved, direct, encoder.added)

    def _give(self) -> None:
        """Give rows to other processes, once these are worth it, so that they have enough; the first are ours."""
        waiting = [one for one in self._waiting if isinstance(one, WaitingRows)]
        if self._pool is None and self.processes and self._seconds_left(waiting) > WORTH_SECONDS:
            self._pool = ProcessPoolExecutor(self.processes, get_context("spawn"), end_with_parent)
        if self._pool is None:
            return
        running = sum(one.work is not None and not one.is_done for one in waiting)
        for one in [one for one in waiting[1:] if not one.is_taken][: _AHEAD * self.processes - running]:
            try:
                one.work = self._pool.submit(encode_elsewhere, self.settings, one.dataset, one.new_rows)
            except BrokenProcessPool:
                self._go_on_alone()
                return

    def _seconds_left(self, waiting: Sequence[WaitingRows]) -> float:
        """What this process would need for all that is new, if it goes on as it began; 0 before it began."""
        if not self._encoded_rows:
            return 0.0
        unread = max(0, self.expected - self._seen) * self._new / self._seen
        return (unread + sum(len(one.new) for one in waiting if not one.is_taken)) * self._seconds / self._encoded_rows

    def _encode_here(self, dataset: Dataset, chunk: Chunk, count: int) -> EncodedChunk:
        formatter, began = self._own_formatter(), time.monotonic()
        encoded = encode_chunk(formatter, dataset, chunk)
        self._encoded_rows, self._seconds = self._encoded_rows + count, self._seconds + time.monotonic() - began
        return encoded

    def _own_formatter(self) -> Formatter:
        if self._formatter is None:
            self._formatter = self.settings.formatter()
            self.found.encoder = self._formatter.encoder.name
            table = self._formatter.encoder.table
            if self.pieces is not None and table is not None:
                table.load(self.pieces)
                self._known_pieces = len(table)
        return self._formatter

    def _settle(self, one: WaitingRows | KnownRows) -> None:
        if isinstance(one, KnownRows):
            self.found.add_known(one.name, one.first, one.lines)
            return
        if one.new:
            self._add(one, self._encoded(one))
        self.found.add(one.chunk, one.digests, one.numbers)
        if one.stretch_key:
            self._remember(one)

    def _add(self, one: WaitingRows, encoded: EncodedChunk) -> None:
        """Keep what became of rows, and give those that are documents their numbers."""
        sound = [one.new[at] for at in encoded.sound]
        if sound:
            first = self.cache.add(Block(one.keys[sound], encoded.lengths, encoded.trained, encoded.rows))
            one.numbers[sound] = range(first, first + len(sound))
        self.found.new += len(sound)
        self.found.questions.extend(encoded.questions)
        if one.dataset.on_bad_row == "skip":
            self.found.skipped += len(encoded.broken)
        else:
            for row in encoded.broken:
                self.found.broken.add(row)

    def _remember(self, one: WaitingRows) -> None:
        """Keep what a stretch of lines became, if all of them are sound."""
        if len(one.numbers) and (one.numbers != UNKNOWN).all():
            lines = array("I", [line - one.first for line in one.chunk.places()[1]])
            numbers = array("I", one.numbers.tolist())
            count = one.behind - one.first
            self.cache.add_lines(one.stretch_key, KnownLines(array("Q", short(one.digests)), numbers, lines, count))

    def _encoded(self, one: WaitingRows) -> EncodedChunk:
        """What became of the new rows; those of a process that died, of too little memory perhaps, are encoded here."""
        self._give()
        if one.encoded is not None:
            return one.encoded
        try:
            if one.work is not None:
                self._encode_until(one.work)
                encoded = one.work.result()
                self._own_formatter().encoder.learn(encoded.met)
                return encoded
        except BrokenProcessPool:
            self._go_on_alone()
        return self._encode_here(one.dataset, one.new_rows, len(one.new))

    def _encode_until(self, work: Future[EncodedChunk]) -> None:
        """Encode what nobody has begun, rather than wait for another process."""
        for other in self._waiting:
            if work.done():
                return
            if isinstance(other, WaitingRows) and not other.is_taken:
                other.encoded = self._encode_here(other.dataset, other.new_rows, len(other.new))
                self._give()

    def _go_on_alone(self) -> None:
        self._pool, self.processes = None, 0


def _keys(digests: Sequence[bytes], salt: bytes) -> NDArray[np.uint64]:
    """The keys of what is digested, two integers each, by how it is read."""
    import numpy as np

    keys: NDArray[np.uint64] = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
    return keys ^ np.frombuffer(salt, np.uint64)


def _salt(dataset: Dataset) -> bytes:
    """16 bytes for how rows are read: the format, and the settings that decide about it."""
    one = formats.load()[dataset.type]
    fields = {name: settings_of(dataset)[name] for name in one.fields}
    return bytes.fromhex(digest({"type": dataset.type, "fields": fields}))
