"""A chunk of rows encoded, in this process or in one that was started to help."""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Sequence
from functools import cache
from multiprocessing import connection, parent_process

from executor.data.dataset_fields import Dataset
from executor.data.rows import BrokenRow
from executor.tokens.documents import Document, Formatter, FormatterSettings, Question
from executor.tokens.encoder import Met, trained_counts
from executor.tokens.row_chunks import Chunk
from state.values import frozen


@frozen
class EncodedChunk:
    """What became of some rows."""

    sound: Sequence[int]
    """The places of those that are documents."""
    lengths: array[int]
    trained: array[int]
    rows: bytes
    """Their ids and labels, each row's behind each other."""
    questions: Sequence[Question]
    broken: Sequence[BrokenRow]
    met: Met
    """What was new to the process."""


def encode_chunk(formatter: Formatter, dataset: Dataset, chunk: Chunk) -> EncodedChunk:
    """Encode some rows, in whichever process this is."""
    documents = formatter.batch(dataset, chunk.rows())
    sound = [at for at, one in enumerate(documents) if isinstance(one, Document)]
    good = [one for one in documents if isinstance(one, Document)]
    lengths = array("i", [len(one.encoded.ids) for one in good])
    return EncodedChunk(
        sound=sound,
        lengths=lengths,
        trained=trained_counts(b"".join([one.encoded.labels.tobytes() for one in good]), lengths),
        rows=b"".join([part.tobytes() for one in good for part in (one.encoded.ids, one.encoded.labels)]),
        questions=[one.question for one in good if one.question is not None],
        broken=[one for one in documents if isinstance(one, BrokenRow)],
        met=formatter.encoder.met(),
    )


def end_with_parent() -> None:
    """Watch for the end of the parent: a process whose parent was killed would wait for work forever."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def encode_elsewhere(settings: FormatterSettings, dataset: Dataset, chunk: Chunk) -> EncodedChunk:
    """Encode some rows in a process that was started for it."""
    return encode_chunk(_formatter(settings), dataset, chunk)


@cache
def _formatter(settings: FormatterSettings) -> Formatter:
    """Made once in a process that was started for these settings."""
    return settings.formatter()
