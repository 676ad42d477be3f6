"""What goes wrong on one of several nodes, told to the others in a file, so that all say the same and none waits."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve

from executor.workers import lost_connections, out_of_memory
from executor.workers.launch import InterruptedStepError, Stop
from planner.planfile import diagnostic_from_plain, diagnostic_to_plain
from state.diagnostic import Diagnostic, ProblemError
from state.durable import write_atomically
from state.values import frozen

FAILURES = "FAILED.*.json"
"""In the folder of the announcement, one for each node; they stay until the next step is announced."""
LOOK_SECONDS = 0.5
"""How often nodes look whether another one has failed."""
CAUSE_SECONDS = 5.0
"""How long a node that has lost another one waits to hear why."""


class FailedElsewhereError(ProblemError):
    """Another node cannot do the step, or has failed in it."""


@frozen
class SharedStep:
    """A step that several nodes build together, as one of them sees it."""

    folder: Path
    """That of the announcement."""
    announced: str
    """The id of the step."""
    rank: int
    """Of this node."""

    def tell(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Tell the other nodes what went wrong on this one."""
        plain = {"id": self.announced, "diagnostics": [diagnostic_to_plain(one) for one in diagnostics]}
        write_atomically(self.folder / FAILURES.replace("*", str(self.rank)), json.dumps(plain).encode())

    def elsewhere(self) -> list[Diagnostic]:
        """What went wrong on another node: a cause if there is one, else that it has lost another one."""
        own = FAILURES.replace("*", str(self.rank))
        told = [json.loads(path.read_bytes()) for path in sorted(self.folder.glob(FAILURES)) if path.name != own]
        of_this = [one["diagnostics"] for one in told if one["id"] == self.announced]
        found = [[diagnostic_from_plain(one) for one in plain] for plain in of_this]
        return next((one for one in found if not _is_consequence(one)), found[0] if found else [])

    def cause(self) -> list[Diagnostic]:
        """What went wrong on another node, for one that has lost it, if that other one says so in time."""
        deadline = time.monotonic() + CAUSE_SECONDS
        while time.monotonic() < deadline:
            found = self.elsewhere()
            if found and not _is_consequence(found):
                return found
            time.sleep(0.1)
        return []

    def named(self, diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
        """What went wrong here, with the name of this node."""
        where = f"Node {self.rank} ({socket.gethostname()})"
        return [evolve(one, detail=f"{where}: {one.detail}") for one in diagnostics]


@contextmanager
def sharing(step: SharedStep, stop: Stop) -> Iterator[None]:
    """End the running step as soon as another node has failed in it, tell what goes wrong here, and raise the cause."""
    ended: list[Diagnostic] = []
    over = threading.Event()

    def look() -> None:
        since = 0.0
        while not over.wait(LOOK_SECONDS):
            found = step.elsewhere()
            since = since or (time.monotonic() if found else 0.0)
            # Whoever has lost this very node says so too: what happened here comes to light in time.
            waits = _is_consequence(found) and time.monotonic() - since < CAUSE_SECONDS
            if found and not waits and stop.expire():
                ended.extend(found)
                return

    looking = threading.Thread(target=look, name="failures", daemon=True)
    looking.start()
    try:
        yield
    except ProblemError as error:
        if ended:
            raise out_of_memory.failure(ended, FailedElsewhereError) from error
        own = step.named(error.diagnostics)
        step.tell(own)
        if _is_consequence(own) and (cause := step.cause()):
            raise out_of_memory.failure(cause, FailedElsewhereError) from error
        raise type(error)(own) from error
    except InterruptedStepError as error:
        if ended:
            raise out_of_memory.failure(ended, FailedElsewhereError) from error
        raise
    finally:
        over.set()
        looking.join()


def _is_consequence(diagnostics: Sequence[Diagnostic]) -> bool:
    return any(one.summary == lost_connections.SUMMARY for one in diagnostics)
