"""Digests of files, read again only when the file system says that they may have changed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import xxhash
from attrs import field

from state.durable import write_atomically
from state.values import mutable

BUFFER_BYTES = 1 << 20
MAPPED_BYTES = 1 << 22
"""Files from this size on are mapped where they can be; for smaller ones, asking takes as long as it saves."""
RACY_NANOSECONDS = 2_000_000_000
"""A file changed this shortly before it was read may change again within the clock's tick: not to be remembered."""


def digest_file(path: Path) -> str:
    """The xxh3-128 of a file's bytes; however it is changed meanwhile, some digest comes out."""
    hasher = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size >= MAPPED_BYTES:
            from state.still_file import mapped

            with mapped(file) as windows:
                for window in windows:
                    hasher.update(window)
        buffer = memoryview(bytearray(BUFFER_BYTES))
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.hexdigest()


@mutable
class FileDigests:
    """Digests remembered by (device, inode, size, mtime, ctime): a shortcut that never decides anything by itself."""

    memory: Path | None = None
    """Where digests are remembered between commands; None remembers nothing."""
    _known: dict[str, str] = field(factory=dict, init=False)
    _changed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Load what earlier commands remembered; a damaged memory is an empty one."""
        if self.memory is None:
            return
        try:
            loaded = json.loads(self.memory.read_bytes())
        except (OSError, ValueError):
            return
        if isinstance(loaded, dict):
            self._known = {key: value for key, value in loaded.items() if isinstance(value, str)}

    def digest(self, path: Path) -> str:
        """The digest of a file's bytes."""
        return self.digests([path])[0]

    def remembered(self, path: str) -> str:
        """The digest of a file that was read before and has not changed since; "" of anything else."""
        try:
            return self._known.get(_stat_key(os.stat(path)), "")  # noqa: PTH116  a plan may look at ten thousand files
        except OSError:
            return ""

    def digests(self, paths: Sequence[Path]) -> list[str]:
        """The digests of several files' bytes; large ones that have to be read are read at once."""
        statuses = [path.stat() for path in paths]
        keys = [_stat_key(one) for one in statuses]
        known = [self._known[key] for key in keys if key in self._known]
        if len(known) == len(keys):
            return known
        unknown = [
            (path, status) for path, status, key in zip(paths, statuses, keys, strict=True) if key not in self._known
        ]
        read = zip(unknown, digest_files(unknown), strict=True)
        fresh = {path: self._fresh(path, status, digest) for (path, status), digest in read}
        return [fresh.get(path) or self._known[key] for path, key in zip(paths, keys, strict=True)]

    def _fresh(self, path: Path, status: os.stat_result, digest: str) -> str:
        """The digest of a file that was just read, remembered if the file cannot have changed meanwhile."""
        key, newest = _stat_key(status), max(status.st_mtime_ns, status.st_ctime_ns)
        if time.time_ns() - newest > RACY_NANOSECONDS and _stat_key(path.stat()) == key:
            self._known[key] = digest
            self._changed = True
        return digest

    def save(self) -> None:
        """Remember for the next command, where there is a folder to remember in, and where it may be written to.

        Whoever may only read can plan all the same, and reads the files again the next time.
        """
        if self.memory is not None and self._changed and self.memory.parent.parent.is_dir():
            with suppress(OSError):
                write_atomically(self.memory, json.dumps(self._known, sort_keys=True).encode())
            self._changed = False


def digest_files(files: Sequence[tuple[Path, os.stat_result]]) -> Iterator[str]:
    """The digests of files in their order; large ones are read at once."""
    paths = [path for path, _ in files]
    large = [path for path, status in files if status.st_size >= MAPPED_BYTES]
    if len(large) <= 1:
        return map(digest_file, paths)
    from multiprocessing.pool import ThreadPool

    with ThreadPool(os.cpu_count()) as pool:  # hashing lets other threads run
        return iter(pool.map(digest_file, paths))


def _stat_key(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
