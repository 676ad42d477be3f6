"""What Ctrl-C and SIGTERM do while a step is worked on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from executor.workers.launch import Stop


@contextmanager
def stopping(stop: Stop) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask the step to save and end; a second one, or the end of the time for it, ends it at once."""

    def ask(*_: object) -> None:
        if not stop.requested:
            # Straight to the descriptor: whoever was interrupted may hold the locks of any stream.
            os.write(sys.stderr.fileno(), b"\nInterrupted: saving what there is. Once more to stop at once.\n")
            signal.setitimer(signal.ITIMER_REAL, stop.seconds_for_saving or 0.0)
        stop.request()

    def end(*_: object) -> None:
        if stop.expire():
            os.write(sys.stderr.fileno(), b"\nThe time to stop is over: what was checkpointed before is kept.\n")

    handlers = {signal.SIGINT: ask, signal.SIGTERM: ask, signal.SIGALRM: end}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)
