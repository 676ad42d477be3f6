"""Runs one task in a process of its own and passes on what it says; apply itself never loads torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from attrs import define, evolve, field

from executor import events, out_of_memory
from executor.out_of_memory import OutOfMemoryError
from executor.task import Outcome, Task, outcome_from, to_plain
from planner.planfile import diagnostic_from_plain
from state.diagnostic import Diagnostic, ProblemError
from state.secrets import without_secrets

RECORDING_SECONDS = 5.0
"""What it may take to record what a step saved, where the time to stop is limited."""
Emit = Callable[[events.Event], None]


class InterruptedStepError(Exception):
    """The step stopped because someone asked it to; what it had checkpointed is kept."""


@define
class Stop:
    """A wish to stop, set from a signal handler: the first is passed on politely, the second kills."""

    within: float | None = None
    """Seconds after the first request by which all must be over; None: as long as it takes."""
    requests: int = 0
    _asked: float = field(default=0.0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def requested(self) -> bool:
        """Whether anyone asked."""
        return self.requests > 0

    def request(self) -> None:
        """Ask the running step, if there is one, to save and end; ask twice to end it at once."""
        self._asked = self._asked or time.monotonic()
        self.requests += 1
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM if self.requests == 1 else signal.SIGKILL)

    def expire(self) -> bool:
        """The time to stop is over: end the running step at once; False if there is none."""
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.kill()
        return True

    @property
    def seconds_for_saving(self) -> float | None:
        """What a step may take, from the request on, so that there is time to record what it saved."""
        return None if self.within is None else max(self.within - min(RECORDING_SECONDS, self.within / 4), 0.1)

    def seconds_left(self, most: float) -> float:
        """What is left, from now on, of the time that was given; at most as long as said."""
        if self.within is None or not self.requested:
            return most
        return max(0.0, min(most, self._asked + self.within - time.monotonic()))

    def watch(self, process: subprocess.Popen[bytes] | None) -> None:
        """The process to pass the wish on to from now on."""
        self._process = process
        if process is not None and self.requested:
            process.send_signal(signal.SIGTERM)


def run_in_worker(task: Task, emit: Emit, stop: Stop, log: Path) -> Outcome:
    """Build the task in a worker process, its libraries' output going to a log file.

    Raises InterruptedStepError if it was asked to stop, ProblemError if it failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    counted = out_of_memory.before()
    with tempfile.TemporaryDirectory(prefix="tune-") as scratch:
        step = Path(scratch) / "STEP.json"
        step.write_text(json.dumps(to_plain(task)))
        command = [sys.executable, "-m", "executor.worker", str(step)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(  # noqa: S603  our own module
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment(), cwd=scratch
        )
        logging = threading.Thread(target=_keep_log, args=(process, log), name="step-log")
        logging.start()
        try:
            stop.watch(process)
            last = _listen(process, emit)
        finally:
            stop.watch(None)
            _end(process)
            logging.join()
    if last is None and process.returncode == -signal.SIGKILL and not stop.requested:
        lacking = out_of_memory.killed(task, counted)
        if lacking is not None:
            raise OutOfMemoryError(lacking)
    return _outcome(last, process.returncode, stop, log)


def _environment() -> dict[str, str]:
    """Without what could put a stranger's modules before ours (`state.py` in the user's folder)."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    # One process uses one GPU; with several in sight, transformers would split batches in a way that TRL refuses.
    return {"CUDA_VISIBLE_DEVICES": "0", **kept, "PYTHONSAFEPATH": "1"}


def _keep_log(process: subprocess.Popen[bytes], log: Path) -> None:
    """Write what the worker and its libraries print to the log, line by line, without secrets."""
    with log.open("w", encoding="utf-8") as output:
        for line in process.stderr or ():
            output.write(without_secrets(line.decode(errors="replace")))
            output.flush()


def _listen(process: subprocess.Popen[bytes], emit: Emit) -> events.WorkerEvent | None:
    """Pass events on until the worker closes its end; its last word, or None if it died without one."""
    last: events.WorkerEvent | None = None
    for line in process.stdout or ():
        event = events.from_plain(json.loads(without_secrets(line.decode())))
        match event:
            case events.Finished() | events.Stopped() | events.Crashed():
                last = event
            case _:
                emit(event)
    return last


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no orphan, whatever happened: a worker whose input closes ends itself, and this makes sure."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _outcome(last: events.WorkerEvent | None, code: int, stop: Stop, log: Path) -> Outcome:
    match last:
        case events.Finished(outcome):
            return outcome_from(outcome)
        case events.Stopped():
            raise InterruptedStepError
        case events.Crashed(diagnostics):
            hint = f"What the step printed is in `{log}`."
            found = [_with_hint(diagnostic_from_plain(one), hint) for one in diagnostics]
            raise (OutOfMemoryError if found[0].summary == out_of_memory.SUMMARY else ProblemError)(found)
        case _ if stop.requested:
            raise InterruptedStepError
    ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hint = "If you did not kill it, the container or the cluster did, most often for want of memory or time."
    detail = f"The worker process {ended} without a last word. What it printed is in `{log}`."
    raise ProblemError(Diagnostic("Worker died", detail, hint if code == -signal.SIGKILL else ""))


def _with_hint(diagnostic: Diagnostic, hint: str) -> Diagnostic:
    """The diagnostic with a hint, unless it has a better one or a place in the user's files."""
    return diagnostic if diagnostic.hint or diagnostic.place.file else evolve(diagnostic, hint=hint)
