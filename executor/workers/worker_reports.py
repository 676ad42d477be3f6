"""What a build says while it works, and how it learns that it should stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from executor.workers.events import WorkerEvent

PROGRESS_SECONDS = 0.2
"""Progress is for people: more often than this nobody can read it, and it would cost time."""


class StopRequestedError(BaseException):
    """Raised where a build stops between two pieces of work because it was asked to."""

    def __init__(self, step: int = 0) -> None:
        """Say after which optimizer step it stopped; 0 where nothing was saved."""
        super().__init__(step)
        self.step = step


@define
class Reporter:
    """The way from a build to the people who wait for it."""

    address: str
    send: Callable[[WorkerEvent], None]
    _last: float = field(default=0.0, init=False)

    def progress(
        self,
        done: int,
        total: int,
        unit: str,
        values: Mapping[str, float] | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """How far the build is; passed on at most five times a second, the last one always."""
        if done >= total or time.monotonic() - self._last >= PROGRESS_SECONDS:
            from executor.workers.events import Progress

            self._last = time.monotonic()
            self.send(Progress(self.address, done, total, unit, values or {}, seconds_left))

    def message(self, text: str) -> None:
        """Something that a person should know."""
        from executor.workers.events import Message

        self.send(Message(self.address, text))
