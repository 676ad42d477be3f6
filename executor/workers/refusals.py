"""What one of several nodes cannot do, told to the others in a file, so that none waits for a node that never comes."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve

from executor.workers.launch import InterruptedStepError, Stop
from planner.planfile import diagnostic_from_plain, diagnostic_to_plain
from state.diagnostic import Diagnostic, ProblemError
from state.durable import write_atomically

REFUSAL = Path("nodes") / "REFUSED.json"
"""Below `.tune/`; it stays until the next step is announced, for nodes that look later."""
LOOK_SECONDS = 0.5
"""How often nodes look whether another one has refused."""


class RefusedElsewhereError(ProblemError):
    """Another node cannot do the step."""


@contextmanager
def refusing(tune_folder: Path, announced: str, rank: int) -> Iterator[None]:
    """Name this node in what goes wrong, and tell the others of it; `announced` is the step that they wait in."""
    try:
        yield
    except RefusedElsewhereError:
        raise
    except ProblemError as error:
        where = f"Node {rank} ({socket.gethostname()})"
        found = [evolve(one, detail=f"{where}: {one.detail}") for one in error.diagnostics]
        plain = {"id": announced, "diagnostics": [diagnostic_to_plain(one) for one in found]}
        write_atomically(tune_folder / REFUSAL, json.dumps(plain).encode())
        raise ProblemError(found) from error


@contextmanager
def heeding(tune_folder: Path, announced: str, stop: Stop) -> Iterator[None]:
    """End the running step as soon as another node refuses it, and raise what that one says."""
    ended: list[Diagnostic] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            found = _refused(tune_folder, announced)
            # A step that has failed here has its own reason, of which the others' failures are the consequence.
            if found and stop.expire():
                ended.extend(found)
                return

    looking = threading.Thread(target=look, name="refusals", daemon=True)
    looking.start()
    try:
        yield
    except (ProblemError, InterruptedStepError) as error:
        if ended:
            raise RefusedElsewhereError(ended) from error
        raise
    finally:
        over.set()
        looking.join()


def _refused(tune_folder: Path, announced: str) -> list[Diagnostic]:
    try:
        plain = json.loads((tune_folder / REFUSAL).read_bytes())
    except FileNotFoundError:
        return []
    return [diagnostic_from_plain(one) for one in plain["diagnostics"]] if plain["id"] == announced else []
