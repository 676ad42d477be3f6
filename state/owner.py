"""A process as the owner of a lock, and whether it still runs, as far as the host that it runs on can tell."""

from __future__ import annotations

import os
import time
from pathlib import Path

from state.host import host_name
from state.values import frozen

GONE = "gone"
ALIVE = "alive"


@frozen
class Owner:
    """A process that holds, or wants, the lock."""

    id: str
    user: str
    host: str
    namespace: str
    """Of its process number: containers can share the host's name and still number their own processes."""
    pid: int
    boot: str
    """Identifies the boot of the host, so that a process number from before it is not mistaken for a living one."""
    process_start: str
    """Clock tick at which the process started, so that a process number that is used again is not either."""
    operation: str
    plan: str
    created: float
    """Seconds since the epoch."""
    heartbeat: float
    """Seconds since the epoch; renewed while the owner lives."""

    def __str__(self) -> str:
        """The owner as messages name it."""
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.created))
        return f"{self.user}@{self.host} (process {self.pid}, `{self.operation}`, since {since})"


def this_process(operation: str, plan: str) -> Owner:
    """The process at hand as the owner of a lock."""
    now = time.time()
    return Owner(
        id=os.urandom(8).hex(),
        user=user(),
        host=host_name(),
        namespace=_namespace(),
        pid=os.getpid(),
        boot=boot(),
        process_start=_process_start(os.getpid()),
        operation=operation,
        plan=plan,
        created=now,
        heartbeat=now,
    )


def user() -> str:
    """The name of whoever runs the process, or their number where they have no name."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def is_here(owner: Owner) -> bool:
    """Whether the owner's process number means something to this process."""
    return owner.host == host_name() and owner.namespace == _namespace()


def is_gone(owner: Owner) -> bool:
    """Whether an owner on this host is no more: its boot is over, or its number means no process or another one."""
    return owner.boot != boot() or _process_start(owner.pid) not in (owner.process_start, ALIVE)


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def boot() -> str:
    """Identifies the time since this host was started; "" where nothing tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """The process's start time in clock ticks since boot, GONE for none (or its corpse), ALIVE where nothing tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # no /proc, no such process, or that of another user on a host that hides them
        return _alive(pid)
    return GONE if fields[0] in "ZX" else fields[19]


def _alive(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return GONE
    except PermissionError:
        pass
    return ALIVE
