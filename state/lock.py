"""Who may apply: a lock with owner, heartbeat and expiry; the state's compare-and-swap protects what it cannot."""

from __future__ import annotations

import getpass
import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from attrs import asdict, define, evolve, field, frozen

from state.diagnostic import Place, problem
from state.durable import write_atomically
from state.layout import Layout
from state.store import guarded

FILE = ".tune/lock.json"
HEARTBEAT_SECONDS = 10.0
EXPIRY_SECONDS = 120.0
"""How long the owner of a lock on another host may be silent before it counts as dead."""


@frozen
class Owner:
    """A process that holds, or wants, the lock."""

    id: str
    user: str
    host: str
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
        host=socket.gethostname(),
        pid=os.getpid(),
        boot=_boot(),
        process_start=_process_start(os.getpid()),
        operation=operation,
        plan=plan,
        created=now,
        heartbeat=now,
    )


def user() -> str:
    """The name of whoever runs the process, or their number where they have no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def is_dead(owner: Owner) -> bool:
    """Whether the owner can no longer act: proved on this host, and by silence on another."""
    if owner.host != socket.gethostname():
        return time.time() - owner.heartbeat > EXPIRY_SECONDS
    return owner.boot != _boot() or owner.process_start != _process_start(owner.pid)


@define
class Lock:
    """The lock of one recipe, held for as long as the `with` block runs."""

    layout: Layout
    owner: Owner
    taken_from: Owner | None = field(default=None, init=False)
    """The dead owner whose lock was taken over, for the caller to say so."""
    _stop: threading.Event = field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        """Take the lock; raises ProblemError, naming the owner, if another living process holds it."""
        with guarded(self.layout):
            holder = read_owner(self.layout)
            if holder is not None and not is_dead(holder):
                detail = f"The lock is held by {holder}."
                hint = "Wait until it has finished; a lock whose owner has died is taken over by itself."
                raise problem("Another apply is running", detail, hint, Place(FILE))
            self.taken_from = holder
            _write(self.layout.lock, self.owner)
        self._thread = threading.Thread(target=self._beat_until_stopped, name="lock-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back, if it is still ours."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with guarded(self.layout):
            if self._ours():
                self.layout.lock.unlink()

    def check(self) -> None:
        """Raise ProblemError if the lock was lost: a process that lost its lock must not write."""
        if not self._ours():
            detail = "Another process has taken the lock over, so this one stops without writing."
            raise problem("Lock lost", detail, "Run `tune plan` to see what is left to do.", Place(FILE))

    def beat(self) -> None:
        """Say that the owner lives, if the lock is still ours; done every few seconds while the `with` block runs."""
        with guarded(self.layout):
            if self._ours():
                _write(self.layout.lock, evolve(self.owner, heartbeat=time.time()))

    def _ours(self) -> bool:
        holder = read_owner(self.layout)
        return holder is not None and holder.id == self.owner.id

    def _beat_until_stopped(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):
                self.beat()


def read_owner(layout: Layout) -> Owner | None:
    """Who holds the lock, if anyone does; a lock file that cannot be read was left by a crash."""
    try:
        return Owner(**json.loads(layout.lock.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write(path: Path, owner: Owner) -> None:
    write_atomically(path, json.dumps(asdict(owner), indent=1, sort_keys=True).encode() + b"\n")


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """The process's start time in clock ticks since boot, "gone" if there is no such process (or only its corpse)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # the latter if it goes away while it is read
        return "gone" if Path("/proc/self").exists() else _alive(pid)
    return "gone" if fields[0] in "ZX" else fields[19]


def _alive(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass
    return "alive"
