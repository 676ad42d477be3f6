"""Writes that survive a crash at any instant: whole files appear at once, on the disk before we go on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PIECE = 1 << 20


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content so that a reader sees the old or the new bytes, never a mixture, even after a crash."""
    with _replacing(path) as file:
        file.write(content)


def durable_copy(source: Path, target: Path, moved: Callable[[int], None]) -> None:
    """Copy a file of any size so that the target appears whole; `moved` hears of every piece, in bytes."""
    with _replacing(target) as writing, source.open("rb") as reading:
        while piece := reading.read(PIECE):
            writing.write(piece)
            moved(len(piece))


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of another when the block ends well, on the disk before anybody sees it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        with _named(path), temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _beside(path: Path) -> Path:
    """A name for what is not whole yet, which no other process or thread uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: new, renamed and removed entries."""
    _sync(folder)


def sync_tree(folder: Path) -> None:
    """Make every file below a folder durable; libraries that write for us do not do it themselves."""
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(Path(root) / name)
        _sync(Path(root))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with _named(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What the disk refuses names the file: a write or a sync that fails does not do so by itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
