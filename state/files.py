"""Digests of files, read again only when the file system says that they may have changed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import xxhash
from attrs import define, field

from state.durable import write_atomically

BUFFER_BYTES = 1 << 20
RACY_NANOSECONDS = 2_000_000_000
"""A file changed this shortly before it was read may change again within the clock's tick: not to be remembered."""


def digest_file(path: Path) -> str:
    """The xxh3-128 of a file's bytes, read in 1 MiB pieces."""
    hasher = xxhash.xxh3_128()
    buffer = memoryview(bytearray(BUFFER_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.hexdigest()


@define
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
        status = path.stat()
        key = _stat_key(status)
        known = self._known.get(key)
        if known is not None:
            return known
        fresh = digest_file(path)
        newest = max(status.st_mtime_ns, status.st_ctime_ns)
        if time.time_ns() - newest > RACY_NANOSECONDS and _stat_key(path.stat()) == key:
            self._known[key] = fresh
            self._changed = True
        return fresh

    def save(self) -> None:
        """Remember for the next command, where there is a folder to remember in."""
        if self.memory is not None and self._changed and self.memory.parent.parent.is_dir():
            write_atomically(self.memory, json.dumps(self._known, sort_keys=True).encode())
            self._changed = False


def _stat_key(status: os.stat_result) -> str:
    return ":".join(
        str(part) for part in (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    )
