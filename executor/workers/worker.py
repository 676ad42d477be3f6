"""The process that builds one task: `python -m executor.workers.worker STEP.json`.

Standard output carries events, one JSON object a line; whatever libraries print goes to standard error, which the
parent keeps as the step's log. Standard input carries nothing: when it closes, the parent is gone and so are we.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

from executor import kinds
from executor.evaluation.user_functions import place_in_user_code
from executor.training import determinism
from executor.workers import events, lost_connections, out_of_memory
from executor.workers.libraries import import_early
from executor.workers.task import Outcome, Task, task_from, to_plain
from executor.workers.worker_reports import Reporter, StopRequestedError
from planner.planfile import diagnostic_to_plain
from state import artifacts
from state.diagnostic import Diagnostic, ProblemError
from state.wording import stopped


def main() -> None:
    """Build the task that the only argument names."""
    channel = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    # A terminal sends Ctrl-C to the whole group; the parent decides what becomes of it and asks with SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop_now)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    task = task_from(Path(sys.argv[1]))

    def send(event: events.WorkerEvent) -> None:
        channel.write(json.dumps(events.to_plain(event)) + "\n")
        channel.flush()

    # What happens is told by one rank; the others only say how they ended.
    is_first = os.environ.get("RANK", "0") == "0"
    send(_build(task, Reporter(task.address, send if is_first else _keep_silent)))
    channel.close()


def _build(task: Task, reporter: Reporter) -> events.WorkerEvent:
    """The last word on a task; whatever goes wrong becomes one diagnostic, with the traceback in the log."""
    try:
        return events.Finished(to_plain(build(task, reporter)))
    except StopRequestedError as stop:
        return events.Stopped(stop.step)
    except ProblemError as error:
        return events.Crashed(tuple(diagnostic_to_plain(one) for one in error.diagnostics))
    except Exception as error:  # noqa: BLE001  the parent must hear of everything that ends a step
        traceback.print_exc()
        lacking = out_of_memory.is_out_of_memory(error)
        found = out_of_memory.explain(error, task) if lacking else _explain(error)
        return events.Crashed((diagnostic_to_plain(found),))


def build(task: Task, reporter: Reporter) -> Outcome:
    """Build a task in this process and publish its artifact, with notes from which state can be restored."""
    kind = kinds.load()[task.kind]
    import_early(kind.libraries)
    outcome: Outcome = kind.build(task, reporter)
    if outcome.has_artifact:
        artifacts.publish(task.output_folder, {"outcome": to_plain(outcome)})
    return outcome


def _explain(error: Exception) -> Diagnostic:
    """An exception of a library, in words, with the knob to turn where there is one."""
    if lost_connections.is_lost(error):
        return lost_connections.explain(error)
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    if _finds_no_room(error):
        hint = "Free some space, or lower `checkpoints.save_total_limit`; complete checkpoints are kept."
        return Diagnostic("Disk full", stopped(text), hint)
    if type(error).__name__ == "UnpicklingError":
        detail = "It holds something else than tensors and plain values, which is never loaded."
        hint = "Remove the checkpoint's folder: the next plan continues from an earlier one, or anew."
        return Diagnostic("Checkpoint refused", detail, hint)
    if determinism.REFUSED in text:
        hint = 'Set `deterministic` = false, or use what does without it, such as attn_implementation = "eager".'
        return Diagnostic("Not deterministic", f"{text.partition(', but')[0]}.", hint)
    return Diagnostic("Step failed", stopped(f"{text}{place_in_user_code(error)}"))


def _finds_no_room(error: BaseException | None) -> bool:
    """Whether the disk is full; torch's own writer of files says no more than that one is shorter than it should be."""
    while error is not None:
        text = str(error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in text or ("inline_container" in text and "unexpected pos" in text):
            return True
        error = error.__cause__ or error.__context__
    return False


def _keep_silent(_: events.WorkerEvent) -> None:
    pass


def _stop_now(*_: object) -> NoReturn:
    raise StopRequestedError


def _die_with_parent() -> None:
    """Wait for standard input to close, which it does when the parent ends in whatever way; leave no child behind."""
    while os.read(0, 1):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
