"""The bytes of a file that nobody can change meanwhile, mapped instead of copied: hashing goes twice as fast.

Whoever truncates a file that is mapped kills the process that looks at the pages which are gone. So the kernel is asked
for a lease first (fcntl(2), F_SETLEASE): while it is held, whoever wants to write waits. It is given back at the next
window when somebody does, and refused for files of other people, for those that are open for writing, and by systems
and file systems that know no leases. What is left then has to be read.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

WINDOW_BYTES = 1 << 26
"""What is mapped at once: others wait for a few milliseconds."""
_SET_SIGNAL = 10
"""F_SETSIG of Linux, which Python does not name."""


@contextmanager
def mapped(file: FileIO) -> Iterator[Iterator[memoryview]]:
    """The file's bytes from its start, as far as they lie still; the file's position is where they end."""
    with _lease(file) as is_held:
        yield _windows(file) if is_held else iter(())


@contextmanager
def _lease(file: FileIO) -> Iterator[bool]:
    if not hasattr(fcntl, "F_SETLEASE"):
        yield False
        return
    try:
        # Of a writer who waits we are told by a signal; this one does nothing unless somebody asks for it.
        fcntl.fcntl(file, _SET_SIGNAL, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _windows(file: FileIO) -> Iterator[memoryview]:
    size = os.fstat(file.fileno()).st_size
    for start in range(0, size, WINDOW_BYTES):
        if fcntl.fcntl(file, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
            return
        length = min(WINDOW_BYTES, size - start)
        with (
            mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ, offset=start) as window,
            memoryview(window) as one,
        ):
            yield one
        file.seek(start + length)
