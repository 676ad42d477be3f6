"""The command line as a person uses it: real processes, on copies of the quickstart that is built once a session."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
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

    def apply(self, *options: str, expect: int = 0) -> dict[str, str]:
        """What became of each address."""
        lines = self.tune("apply", "--auto-approve", "--json", *options, expect=expect).stdout.splitlines()
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


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that is filled once for all test processes together."""
    shared = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folder, complete = shared / name, shared / f"{name}.complete"
    with (shared / f"{name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not complete.exists():
            make(folder)
            complete.touch()
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart, applied."""

    def make(folder: Path) -> None:
        shutil.copytree(QUICKSTART, folder, ignore=shutil.ignore_patterns(".tune"))
        Folder(folder).tune("apply", "--auto-approve")

    return once(tmp_path_factory, "quickstart", make)


def edit_for_interruption(folder: Folder) -> None:
    """Let the adapter be trained anew, with dropout, so that the random state matters too."""
    folder.edit("learning_rate = 1e-3", "learning_rate = 2e-3")
    folder.edit("num_epochs = 2\nbf16 = false\n\n[train.assistant", "max_steps = 80\nbf16 = false\n\n[train.assistant")
    folder.edit("lora_alpha = 32", "lora_alpha = 32\nlora_dropout = 0.1")
    folder.edit("save_steps = 50", "save_steps = 20")


@pytest.fixture
def edited(quickstart: Folder) -> Folder:
    """A finished quickstart whose adapter has to be trained anew."""
    edit_for_interruption(quickstart)
    return quickstart


@pytest.fixture(scope="session")
def straight(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The adapter that an uninterrupted run of the edited quickstart gives."""

    def make(folder: Path) -> None:
        shutil.copytree(finished, folder)
        edit_for_interruption(Folder(folder))
        Folder(folder).apply("--target", "train.assistant")

    folder = once(tmp_path_factory, "straight", make)
    path = Folder(folder).tune("output", "train.assistant").stdout.strip()
    return Path(path, "adapter_model.safetensors").read_bytes()


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
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
