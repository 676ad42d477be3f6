"""An apply that waited for another command does what is left to do by then, and no more than was approved."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from state.change import forget
from state.folder_backend import FolderBackend
from state.history import Author
from state.lock import Lock
from state.owner import this_process
from state.store import Store
from state.writer import writing

pytestmark = [pytest.mark.slow, pytest.mark.processes]

RECIPE = """\
[dataset.one]
source = "one.jsonl"
type = "completion"
[dataset.two]
source = "two.jsonl"
type = "completion"
"""
MINUTE = 60


@pytest.fixture
def edited(empty: Any) -> Any:
    """Two datasets, recorded; the description of the first is another one since then."""
    for name in ("one", "two"):
        (empty.path / f"{name}.jsonl").write_text('{"text": "a"}\n')
    (empty.path / "recipe.toml").write_text(RECIPE)
    empty.apply()
    empty.edit('source = "one.jsonl"', 'source = "one.jsonl"\ndescription = "the first"')
    return empty


def waited(
    folder: Any, processes: list[subprocess.Popen[str]], forgotten: str, *arguments: str
) -> tuple[int, str, str]:
    """How an apply ends that had to wait for a command that forgot something."""
    backend = FolderBackend(folder.path / ".tune", ".tune")
    lock = Lock(backend, this_process("tune state rm", ""))
    with writing(Store(backend, "test"), lock, Author("ada", "test")) as writer:
        process = folder.start("apply", *arguments, "--lock-timeout", "1m")
        processes.append(process)
        for line in process.stdout:
            if line.startswith("Waiting for the lock of "):
                break
        writer.save(forget(writer.state, forgotten))
    printed, said = process.communicate(timeout=MINUTE)
    return process.returncode, printed, said


def test_what_is_to_be_done_is_seen_again(edited: Any, processes: list[subprocess.Popen[str]]) -> None:
    code, printed, said = waited(edited, processes, "dataset.two", "--auto-approve")
    assert (code, said) == (0, "")
    assert printed.startswith(
        "The state was written before this command had the lock. Plan: 1 to build, 1 to update.\n"
        "dataset.one: recorded\n"
        "dataset.two: recorded\n"
    )
    assert edited.summary() == {"reuse": 2}


def test_a_saved_plan_is_kept_to(edited: Any, processes: list[subprocess.Popen[str]]) -> None:
    edited.tune("plan", "--out", "p.plan.json")
    code, printed, _ = waited(edited, processes, "dataset.two", "p.plan.json")
    assert code == 0
    assert "dataset.one: recorded\n" in printed
    assert edited.actions() == {"dataset.two": "build"}


def test_a_saved_plan_whose_step_has_moved_is_refused(edited: Any, processes: list[subprocess.Popen[str]]) -> None:
    edited.tune("plan", "--out", "p.plan.json")
    code, printed, said = waited(edited, processes, "dataset.one", "p.plan.json")
    assert code == 1
    assert said.startswith("Error: Plan is stale [TUNE200]\n  The state: dataset.one ")
    assert "recorded" not in printed
