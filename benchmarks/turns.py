"""Two processes that take turns of half a second, so that a machine whose speed changes is as fast for either."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil  # type: ignore[import-untyped]  # it has no types
from attrs import define, field

TURN_SECONDS = 0.5


@define
class Contestant:
    """What works in processes of its own and tells of its steps; its clock stands still while they do."""

    name: str
    work: Callable[[Contestant], None]
    """Starts the processes and tells `heard` of steps, until they have ended."""
    loss: float = 0.0
    ended: dict[int, float] = field(factory=dict)
    """Seconds that it had run when a step ended, by step."""
    worked: dict[int, float] = field(factory=dict)
    """Processor seconds that its processes had taken, by step."""
    done: threading.Event = field(factory=threading.Event)
    _processes: set[psutil.Process] = field(factory=set)
    _ran: float = 0.0
    _since: float = 0.0
    _thread: threading.Thread | None = None
    _error: list[BaseException] = field(factory=list)

    def turn(self, other: Contestant) -> None:
        """Work for a while, or until all is done, while the other stands still."""
        self._since = time.perf_counter()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.name)
            self._thread.start()
        self._each(psutil.Process.resume)
        self.done.wait(TURN_SECONDS)
        self._processes = {*psutil.Process().children(recursive=True)} - other._processes
        self._each(psutil.Process.suspend)
        self._ran += time.perf_counter() - self._since
        if self._error:
            raise self._error[0]

    def heard(self, step: int) -> None:
        """A step has just ended."""
        self.ended[step] = self._ran + time.perf_counter() - self._since
        used = [one.cpu_times() for one in self._processes]
        self.worked[step] = sum(one.user + one.system for one in used)

    def _run(self) -> None:
        try:
            self.work(self)
        except BaseException as error:  # noqa: BLE001  the thread that waits is to tell it
            self._error.append(error)
        self.done.set()

    def _each(self, act: Callable[[psutil.Process], None]) -> None:
        for one in self._processes:
            with suppress(psutil.NoSuchProcess):  # it has just ended, and `done` is about to be set
                act(one)


def compete(one: Contestant, other: Contestant) -> None:
    """Let two run to their ends: one, other, other, one, and so on, so that neither is always the first of two."""
    while not (one.done.is_set() and other.done.is_set()):
        for each, still in ((one, other), (other, one), (other, one), (one, other)):
            if not each.done.is_set():
                each.turn(still)
