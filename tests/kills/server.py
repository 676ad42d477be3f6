"""Applies a recipe of fake kinds in processes that are made to be killed; started and told what to do by the test.

Starting Python takes longer than a whole apply of fake kinds, so this process loads everything once and forks for every
line on its standard input. It touches no client of an object store itself: their threads do not survive a fork.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from attrs import define, field

from executor.workers.launch import Emit, Stop
from executor.workers.task import Outcome, Task
from state.diagnostic import ProblemError
from state.locations import open_backend
from state.shared_store import SharedStore
from tests.fake_kinds import FakeBuild, Workshop

FAILED = 3


@define
class SlowBuild:
    """A fake build that writes down when it begins and ends, and takes its time, so that a kill can hit it anywhere."""

    log: Path
    pause: float
    built: list[str] = field(factory=list)

    def __call__(self, task: Task, emit: Emit, stop: Stop, log: Path) -> Outcome:
        self._note("begin", task.address)

        def slowly(event: object) -> None:
            emit(event)  # type: ignore[arg-type]
            time.sleep(self.pause)

        outcome = FakeBuild()(task, slowly, stop, log)
        self._note("end", task.address)
        return outcome

    def _note(self, what: str, address: str) -> None:
        with self.log.open("a") as file:
            file.write(f"{what} {address}\n")


def workshop(folder: Path, url: str, endpoint: str, pause: float = 0.0) -> Workshop:
    """The recipe in a folder, its state and artifacts at a URL, or in the folder if that is empty."""
    made = Workshop(folder, build=SlowBuild(folder / "builds.log", pause))  # type: ignore[arg-type]
    if url:
        made.place = open_backend(url, folder, endpoint)
        made.shared = SharedStore(made.place, "")
    return made


def main() -> None:
    """For each line `FOLDER URL ENDPOINT PAUSE`: a process that applies; its number, and in the end its exit code."""
    for line in sys.stdin:
        folder, url, endpoint, pause = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            os.setsid()
            os._exit(_apply(Path(folder), url, endpoint, float(pause)))
        print(child, flush=True)  # noqa: T201  how the test hears of it
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201  as above


def _apply(folder: Path, url: str, endpoint: str, pause: float) -> int:
    try:
        failure = workshop(folder, url, endpoint, pause).apply().failure
    except ProblemError as error:
        failure = error
    if failure is not None:
        sys.stderr.write(f"{failure}\n")
        return FAILED
    return 0


if __name__ == "__main__":
    main()
