"""Asked to stop at any moment: in time, with exit code 130, and with a state that says what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.timeout(120)]

Wanted = Callable[[Any], bool]
MINUTE = 60


def applying(folder: Any, processes: list[subprocess.Popen[str]], until: Wanted, *options: str) -> Any:
    """An apply that has just told what is wanted."""
    process = folder.start("apply", "--auto-approve", "--json", *options)
    processes.append(process)
    for line in process.stdout:
        if until(json.loads(line)):
            return process
    message = f"it never came: {process.stderr.read()}"
    raise AssertionError(message)


def starts(address: str) -> Wanted:
    return lambda event: (event["type"], event["address"]) == ("step_started", address)


def hang(process: Any) -> None:
    """Stop the worker as a file system that does not answer would: no signal reaches it but SIGKILL."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(600):
        for pid in children.read_text().split():
            if b"executor.workers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():  # not one about to be
                os.kill(int(pid), signal.SIGSTOP)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return
        time.sleep(0.1)
    message = "there is no worker"
    raise AssertionError(message)


def test_a_model_that_is_being_made_is_given_up(fresh: Any, processes: list[subprocess.Popen[str]]) -> None:
    process = applying(fresh, processes, starts("model.tiny"))
    process.send_signal(signal.SIGTERM)
    printed, said = process.communicate(timeout=MINUTE)
    assert process.returncode == 130
    assert said == "\nInterrupted: saving what there is. Once more to stop at once.\n"
    assert json.loads(printed.splitlines()[-1])["result"] == "interrupted"
    assert fresh.record("model.tiny")["status"] == "interrupted"
    assert fresh.step("model.tiny")["action"] == "build"


def test_tokens_that_are_being_made_are_given_up(fresh: Any, processes: list[subprocess.Popen[str]]) -> None:
    corpus = fresh.path / "data" / "corpus.jsonl"
    rows = corpus.read_text().splitlines()
    corpus.write_text(
        "".join(json.dumps({"text": f"{at} {json.loads(row)['text']}"}) + "\n" for at in range(15) for row in rows)
    )

    def is_under_way(event: Any) -> bool:
        return event["type"] == "progress" and event["unit"] == "rows" and event["done"] in range(1, event["total"])

    process = applying(fresh, processes, is_under_way)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=MINUTE)
    assert process.returncode == 130
    assert fresh.record("tokens.base")["status"] == "interrupted"


def test_what_does_not_stop_in_time_is_ended(fresh: Any, processes: list[subprocess.Popen[str]]) -> None:
    process = applying(fresh, processes, starts("model.tiny"), "--stop-within", "1s")
    hang(process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=MINUTE)
    assert process.returncode == 130
    assert said == (
        "\nInterrupted: saving what there is. Once more to stop at once.\n"
        "\nThe time to stop is over: what was checkpointed before is kept.\n"
    )
    assert fresh.record("model.tiny")["status"] == "interrupted"


def test_a_second_request_ends_it_at_once(fresh: Any, processes: list[subprocess.Popen[str]]) -> None:
    process = applying(fresh, processes, starts("model.tiny"))
    hang(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=MINUTE)
    assert process.returncode == 130
    assert fresh.record("model.tiny")["status"] == "interrupted"
