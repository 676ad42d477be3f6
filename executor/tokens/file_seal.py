"""Seals: whether a file is still as it was left, without reading it; a shortcut that never decides anything by itself.

A seal lies beside its file. It holds for as long as nothing has written to that and the machine runs on, so that what
was written is there, whether it has come to the disk or not.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from state.owner import boot

_SECOND = 1_000_000_000


def put(path: Path) -> None:
    """Seal a file. Its time becomes a whole second, which no clock gives to whatever writes next."""
    now = time.time_ns() // _SECOND * _SECOND
    os.utime(path, ns=(now, now))
    _seal_of(path).write_text(_looks(path), encoding="utf-8")


def holds(path: Path) -> bool:
    """Whether a file is as it was when it was sealed."""
    try:
        return bool(boot()) and _seal_of(path).read_text(encoding="utf-8") == _looks(path)
    except (OSError, UnicodeDecodeError):
        return False


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.seal")


def _looks(path: Path) -> str:
    """What a file looks like from outside, and since when this machine runs."""
    now = path.stat()
    return f"{boot()} {now.st_dev} {now.st_ino} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns}"
