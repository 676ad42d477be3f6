"""Compressed files: read as if they were not."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from executor.sources.file_formats import COMPRESSED
from state.diagnostic import Place, problem

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BUFFER_BYTES = 1 << 18
"""Less than blocks of lines are read at once, which then go by no buffer."""

UNREADABLE = (OSError, EOFError, zlib.error)
"""What reading a damaged file raises; errors of zstd are made to look like these."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file's bytes in order, decompressed."""
    if path.suffix.lower() == ".gz":
        import gzip

        with gzip.open(path, "rb") as stream:
            yield cast("BinaryIO", stream)
    elif path.suffix.lower() == ".zst":
        with _zstandard(path) as stream:
            yield stream
    else:
        with path.open("rb", buffering=_BUFFER_BYTES) as stream:
            yield stream


@contextmanager
def seekable(path: Path) -> Iterator[BinaryIO]:
    """A file for readers that jump about in it; a compressed one is decompressed to a temporary file first."""
    with opened(path) as stream:
        if path.suffix.lower() not in COMPRESSED:
            yield stream
            return
        import shutil
        from tempfile import TemporaryFile

        with TemporaryFile() as whole:
            shutil.copyfileobj(stream, whole, 1 << 20)
            whole.seek(0)
            yield cast("BinaryIO", whole)


@contextmanager
def _zstandard(path: Path) -> Iterator[BinaryIO]:
    if find_spec("zstandard") is None:
        detail = f"`{path.name}` is compressed with zstd, and the Python package zstandard is not installed here."
        raise problem("Missing library", detail, "Install `tuneform[train]`, or compress with gzip.", Place(str(path)))
    with path.open("rb") as file:
        yield cast("BinaryIO", io.BufferedReader(_Pieces(_frames(file)), 1 << 20))


def _frames(file: BinaryIO) -> Iterator[bytes]:
    """What the frames of a zstd file hold. The library's own reader takes a file that is cut off for a short one."""
    import zstandard

    frame = None
    while piece := file.read(1 << 14):
        while piece:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                yield frame.decompress(piece)
            except zstandard.ZstdError as error:
                raise OSError(str(error)) from error
            piece, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame is not None:
        message = "the compressed file ends too early"
        raise EOFError(message)


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        target = memoryview(buffer)
        count = min(len(target), len(self._left))
        target[:count], self._left = self._left[:count], self._left[count:]
        return count
