"""Killed, stopped or started twice: nothing is lost, nothing is done twice, and everyone is told."""

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

pytestmark = [pytest.mark.torch, pytest.mark.slow]

ADAPTER = "adapter_model.safetensors"


def wait_for(process: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Read events until one is as wanted."""
    assert process.stdout is not None
    for line in process.stdout:
        if wanted(json.loads(line)):
            return
    message = f"it never came: {process.stderr.read() if process.stderr else ''}"
    raise AssertionError(message)


def kill_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.2)


def adapter(folder: Any) -> bytes:
    return Path(folder.tune("output", "train.assistant").stdout.strip(), ADAPTER).read_bytes()


def retraining(folder: Any, processes: list[subprocess.Popen[str]], *, until_step: int) -> subprocess.Popen[str]:
    """An apply that retrains the adapter, seen to have written the checkpoint of a step."""
    process: subprocess.Popen[str] = folder.start("apply", "--auto-approve", "--json")
    processes.append(process)
    wait_for(process, lambda event: event["type"] == "checkpoint" and event["kept"][-1]["step"] == until_step)
    return process


def test_a_killed_training_is_resumed_to_the_same_bits(
    edited: Any, straight: bytes, processes: list[subprocess.Popen[str]]
) -> None:
    kill_group(retraining(edited, processes, until_step=20))
    shown = edited.tune("plan").stdout
    assert "~ train.assistant  resume from step 20" in shown
    assert "interrupted; continues from step 20" in shown
    applied = edited.tune("apply", "--auto-approve").stdout
    assert "Took over the lock of" in applied
    assert "train.assistant: resumed" in applied
    assert adapter(edited) == straight
    assert edited.record("train.assistant")["facts"]["resumed_from"] == 20
    assert edited.summary() == {"reuse": 11}


def test_ctrl_c_saves_a_checkpoint_and_a_second_run_goes_on(
    edited: Any, straight: bytes, processes: list[subprocess.Popen[str]]
) -> None:
    process = edited.start("apply", "--auto-approve", "--json")
    processes.append(process)
    wait_for(process, lambda one: one["type"] == "progress" and one["unit"] == "steps" and one["done"] > 5)
    os.killpg(process.pid, signal.SIGINT)
    printed, said = process.communicate(timeout=120)
    events = [json.loads(line) for line in printed.splitlines()]
    assert "Interrupted: saving what there is." in said
    assert process.returncode == 130
    assert events[-1]["result"] == "interrupted"
    record = edited.record("train.assistant")
    assert record["status"] == "interrupted"
    step = record["checkpoints"][-1]["step"]
    assert 5 < step < 80
    assert edited.step("train.assistant")["resume_from"]["step"] == step
    assert edited.apply("--target", "train.assistant")["train.assistant"] == "resumed"
    assert adapter(edited) == straight


def test_no_worker_outlives_its_parent_and_a_checkpoint_that_was_being_written_is_no_candidate(
    edited: Any, processes: list[subprocess.Popen[str]]
) -> None:
    process = retraining(edited, processes, until_step=20)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for child in children:
        wait_until_gone(int(child))

    folder = edited.path / ".tune" / edited.record("train.assistant")["checkpoints"][-1]["folder"]
    half_written = folder.with_name("checkpoint-40")
    half_written.mkdir(exist_ok=True)
    (half_written / ADAPTER).write_bytes(b"half")
    assert edited.step("train.assistant")["resume_from"]["step"] == 20
    (folder / "optimizer.pt").unlink()
    assert edited.step("train.assistant")["action"] == "build"


def test_the_second_of_two_applies_names_the_first_and_leaves(
    edited: Any, processes: list[subprocess.Popen[str]]
) -> None:
    process = edited.start("apply", "--auto-approve", "--json")
    processes.append(process)
    wait_for(process, lambda event: event["type"] == "step_started")
    refused = edited.tune("apply", "--auto-approve", expect=1)
    assert "Another apply is running" in refused.stderr
    assert f"(process {process.pid}, `tune apply`, since" in refused.stderr
    edited.tune("plan", "--detailed-exitcode", expect=2)


def wait_until_gone(pid: int) -> None:
    for _ in range(100):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    message = f"process {pid} is still there"
    raise AssertionError(message)
