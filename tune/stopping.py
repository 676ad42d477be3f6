"""What Ctrl-C and SIGTERM do while a step is worked on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from executor.workers.launch import Stop


@contextmanager
def stopping(stop: Stop, say: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask the step to save and end; a second one, or the end of the time for it, ends it at once.

    `say` is called from the signal handlers.
    """

    def ask(*_: object) -> None:
        if not stop.requested:
            say("Interrupted: saving what there is. Once more to stop at once.")
            signal.setitimer(signal.ITIMER_REAL, stop.seconds_for_saving or 0.0)
        stop.request()

    def end(*_: object) -> None:
        if stop.expire():
            say("The time to stop is over: what was checkpointed before is kept.")

    handlers = {signal.SIGINT: ask, signal.SIGTERM: ask, signal.SIGALRM: end}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)
