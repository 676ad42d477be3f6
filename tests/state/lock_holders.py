"""Locks that somebody else holds, or left behind: another process, another host, the dead."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import evolve

from state import lock as lock_module
from state.folder_backend import FolderBackend
from state.lock import Lock
from state.owner import Owner, this_process
from tests.processes import running

HOLDS = """
import sys, time
from pathlib import Path
from state import lock, owner
from state.folder_backend import FolderBackend

root, host, ahead, heartbeat = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
clock = time.time
time.time = lambda: clock() + ahead
if host:
    owner.host_name = lambda: host
lock.HEARTBEAT_SECONDS = heartbeat
with lock.Lock(FolderBackend(root, ".tune"), owner.this_process("apply recipe.toml", "plan")) as held:
    print("held", held.taken_from is not None, flush=True)
    sys.stdin.read()
    held.check()
"""


@contextmanager
def held_elsewhere(
    backend: FolderBackend, host: str = "", ahead: float = 0.0, heartbeat: float = 10.0
) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends, on a host of its own and by its own clock."""
    command = [sys.executable, "-c", HOLDS, str(backend.root), host, str(ahead), str(heartbeat)]
    environment = os.environ | {"USER": "ada", "LOGNAME": "ada"}
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held False\n"
        yield process


def left_behind(backend: FolderBackend, **changes: Any) -> Owner:
    """A lock whose owner was this process, but for the changes."""
    owner = evolve(this_process("apply", "plan"), **changes)
    before = backend.get("lock.json")
    if before is None:
        backend.put_if_absent("lock.json", lock_module._as_bytes(owner))
    else:
        backend.put_if_match("lock.json", lock_module._as_bytes(owner), before.version)
    return owner


def free(backend: FolderBackend) -> bool:
    with Lock(backend, this_process("free?", "")) as lock:
        return lock.taken_from is None
