"""Who may write: a lock with owner, heartbeat and expiry; the state's compare-and-swap protects what it cannot.

The lock is an object that is only ever created or replaced by compare-and-swap, so that two processes cannot both
believe to have it; giving it back replaces it by one that says so.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from attrs import asdict, evolve, field

from state.backend import Backend, ConflictError, Stored
from state.diagnostic import Place, ProblemError, problem
from state.owner import Owner, is_gone, is_here
from state.plain import from_plain
from state.values import mutable

NAME = "lock.json"
HEARTBEAT_SECONDS = 10.0
EXPIRY_SECONDS = 120.0
"""How long the owner of a lock on another host may be silent before it counts as dead."""
CONFIRM_SECONDS = 2.5 * HEARTBEAT_SECONDS
"""How long an owner that is dead by its clock and ours is watched all the same: clocks can be wrong."""


def is_dead(owner: Owner) -> bool:
    """Whether the owner can no longer act: proved on this host, and by its clock and ours on another."""
    return is_gone(owner) if is_here(owner) else time.time() - owner.heartbeat > EXPIRY_SECONDS


def read_owner(backend: Backend) -> Owner | None:
    """Who holds the lock, if anyone does."""
    return _owner(backend.get(NAME))


def unlock(backend: Backend, identifier: str) -> Owner:
    """Take the lock away from whoever holds it, if that is the lock of this identifier; returns the owner it had.

    Raises ProblemError if nobody holds it, or another one does. The caller then writes the state, so that a process
    which lost its lock this way finds that it cannot.
    """
    stored = backend.get(NAME)
    owner = _owner(stored)
    place = Place(f"{backend.where}/{NAME}")
    if stored is None or owner is None:
        raise problem("Not locked", "Nobody holds the lock.", place=place)
    if owner.id != identifier:
        detail = f"The lock {owner.id} is held by {owner}; you named `{identifier}`."
        raise problem("Another lock", detail, "Name the lock that you have made sure to be abandoned.", place)
    try:
        backend.put_if_match(NAME, _RELEASED, stored.version)
    except ConflictError:
        detail = f"The lock is held by {owner}, who renewed it in this moment: it is not abandoned."
        raise problem("Lock in use", detail, "Ask its owner to stop; Ctrl-C saves a checkpoint first.", place) from None
    return owner


@mutable
class Lock:
    """The lock of one state, held for as long as the `with` block runs."""

    backend: Backend
    owner: Owner
    timeout: float = 0.0
    """Seconds to wait for a lock that a living process holds."""
    waiting: Callable[[Owner], None] = field(default=lambda _: None)
    """Told once whom we wait for."""
    taken_from: Owner | None = field(default=None, init=False)
    """The dead owner whose lock was taken over, for the caller to say so."""
    _swapping: threading.Lock = field(factory=threading.Lock, init=False)
    _stop: threading.Event = field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    @property
    def file(self) -> str:
        """How messages name the lock."""
        return f"{self.backend.where}/{NAME}"

    def __enter__(self) -> Self:
        """Take the lock; raises ProblemError, naming the owner, if a living process holds it for too long."""
        began = time.monotonic()
        watch = _Watch()
        pause = 0.1
        while True:
            tried = time.monotonic()  # before the try: an owner that is proved dead until then is found dead by it
            holder = self._take(watch)
            if holder is None:
                break
            until = max(began + self.timeout, watch.expected_proof)
            if tried >= until:
                raise self._held(holder)
            watch.tell_once(self.waiting)
            time.sleep(max(0.0, min(pause, until - time.monotonic())))
            pause = min(2 * pause, 2.0)
        self._thread = threading.Thread(target=self._beat_until_stopped, name="lock-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back, if it is still ours."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        # Whoever cannot be reached now will find a silent owner; what was done is recorded all the same.
        with suppress(ConflictError, ProblemError):
            self._swap(_RELEASED)

    def check(self) -> None:
        """Raise ProblemError if the lock was lost: a process that lost its lock must not write."""
        holder = read_owner(self.backend)
        if holder is None or holder.id != self.owner.id:
            detail = "Another process has taken the lock over, so this one stops without writing."
            raise problem("Lock lost", detail, "Run `tune plan` to see what is left to do.", Place(self.file))

    def beat(self) -> None:
        """Say that the owner lives, if the lock is still ours; done every few seconds while the `with` block runs."""
        with suppress(ConflictError):
            self._swap(_as_bytes(evolve(self.owner, heartbeat=time.time())))

    def _take(self, watch: _Watch) -> Owner | None:
        """Try once; returns whoever lives and holds the lock, as far as the watch can tell."""
        stored = self.backend.get(NAME)
        holder = _owner(stored)
        if stored is not None and holder is not None and not watch.proves_dead(holder, stored.version):
            return holder
        content = _as_bytes(evolve(self.owner, heartbeat=time.time()))
        try:
            if stored is None:
                self.backend.put_if_absent(NAME, content)
            else:
                self.backend.put_if_match(NAME, content, stored.version)
        except ConflictError:
            return self._take(watch)
        self.taken_from = holder
        return None

    def _swap(self, content: bytes) -> None:
        """Replace our own lock; what is there is read first, because a write may have failed after it was done."""
        with self._swapping:
            stored = self.backend.get(NAME)
            holder = _owner(stored)
            if stored is None or holder is None or holder.id != self.owner.id:
                raise ConflictError(NAME)
            self.backend.put_if_match(NAME, content, stored.version)

    def _held(self, owner: Owner) -> ProblemError:
        detail = f"The lock {owner.id} is held by {owner}."
        hint = (
            "Wait until it has finished, or have it waited for: `--lock-timeout 10m`. A lock whose owner has died is "
            f"taken over by itself; if you know better, `tune state unlock {owner.id}`."
        )
        return problem("Another apply is running", detail, hint, Place(self.file))

    def _beat_until_stopped(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with suppress(ProblemError):
                self.beat()


@mutable
class _Watch:
    """Watches the owner of a lock: one that renews it lives, whatever the clocks say."""

    expected_proof: float = 0.0
    """When an owner that is dead by the clocks will be proved dead, by time.monotonic(); 0 for any other."""
    _owner: Owner | None = None
    _version: str = ""
    _since: float = 0.0
    _renewed: bool = False
    _told: bool = False

    def proves_dead(self, owner: Owner, version: str) -> bool:
        """Whether this owner is dead: by its process on this host, by long enough silence elsewhere."""
        now = time.monotonic()
        if version != self._version:
            self._renewed = self._owner is not None and self._owner.id == owner.id
            self._owner, self._version, self._since = owner, version, now
        dead = is_dead(owner)
        if is_here(owner):
            return dead
        by_clock = dead and not self._renewed  # a renewal that was seen proves that the clocks are wrong
        self.expected_proof = self._since + CONFIRM_SECONDS if by_clock else 0.0
        return now - self._since >= (CONFIRM_SECONDS if by_clock else EXPIRY_SECONDS)

    def tell_once(self, waiting: Callable[[Owner], None]) -> None:
        if not self._told and self._owner is not None:
            waiting(self._owner)
        self._told = True


_RELEASED = b'{"released": true}\n'


def _owner(stored: Stored | None) -> Owner | None:
    """The owner in a lock object; one that cannot be read was left by no process that could still write."""
    if stored is None or stored.content == _RELEASED:
        return None
    try:
        return from_plain(json.loads(stored.content), Owner)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _as_bytes(owner: Owner) -> bytes:
    return json.dumps(asdict(owner), indent=1, sort_keys=True).encode() + b"\n"
