"""The command line as a person uses it: real processes, on copies of the quickstart that is built once a session."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define

TUNE = Path(sys.executable).parent / "tune"
QUICKSTART = Path(__file__).parent.parent.parent / "examples" / "quickstart"


@define
class Folder:
    """A recipe's folder, and the commands in it."""

    path: Path

    def tune(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command; its exit code must be the expected one, and there is never a traceback."""
        command = [str(TUNE), *arguments]
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    def edit(self, old: str, new: str, file: str = "recipe.toml") -> None:
        text = (self.path / file).read_text()
        assert old in text
        (self.path / file).write_text(text.replace(old, new, 1))

    def summary(self) -> dict[str, int]:
        """What the plan counts, without the zeros."""
        plan = json.loads(self.tune("plan", "--json").stdout)
        return {name: count for name, count in plan["summary"].items() if count}

    def actions(self) -> dict[str, str]:
        plan = json.loads(self.tune("plan", "--json").stdout)
        return {step["address"]: step["action"] for step in plan["steps"] if step["action"] != "reuse"}

    def step(self, address: str) -> dict[str, Any]:
        plan = json.loads(self.tune("plan", "--json").stdout)
        found: dict[str, Any] = next(step for step in plan["steps"] if step["address"] == address)
        return found

    def apply(self, expect: int = 0) -> dict[str, str]:
        """What became of each address."""
        lines = self.tune("apply", "--auto-approve", "--json", expect=expect).stdout.splitlines()
        steps: dict[str, str] = json.loads(lines[-1])["steps"] if lines else {}
        return steps

    def record(self, address: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.tune("state", "show", address, "--json").stdout)
        return found

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [str(TUNE), *arguments],
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


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


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart, applied once for all test processes together."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folder = shared / "quickstart"
    with (shared / "quickstart.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.copytree(QUICKSTART, folder, ignore=shutil.ignore_patterns(".tune"))
            Folder(folder).tune("apply", "--auto-approve")
            (folder / "complete").touch()
    return folder


@pytest.fixture
def quickstart(finished: Path, tmp_path: Path) -> Folder:
    """A finished quickstart of the test's own."""
    shutil.copytree(finished, tmp_path / "recipe")
    return Folder(tmp_path / "recipe")


@pytest.fixture
def fresh(tmp_path: Path) -> Folder:
    """A quickstart of which nothing was made yet."""
    shutil.copytree(QUICKSTART, tmp_path / "recipe", ignore=shutil.ignore_patterns(".tune"))
    return Folder(tmp_path / "recipe")


@pytest.fixture
def empty(tmp_path: Path) -> Folder:
    """A folder without anything."""
    (tmp_path / "recipe").mkdir()
    return Folder(tmp_path / "recipe")


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are killed at the end, whatever happened."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            kill_group(process)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
