"""Processes of tests, which never outlive them: what hangs is killed, so that its test fails and all others run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

PATIENCE = 120
"""Seconds that a process may take to end once nothing more is asked of it."""


@contextmanager
def running(command: Sequence[object], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process for as long as the `with` block runs; its input is closed then, and it is given time to end.

    It is killed where the block fails, as when a test runs out of time: waiting for it could take for ever.
    """
    process = subprocess.Popen([str(one) for one in command], **options)
    try:
        yield process
        if process.stdin is not None:
            process.stdin.close()
        process.wait(PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
        with process:
            pass
