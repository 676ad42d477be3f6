"""A plan looks at what lies around a recipe no more than it must, and sees the same from everywhere."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from state.files import RACY_NANOSECONDS
from tests.tune.conftest import TUNE, Folder

RECIPE = """\
[dataset.first]
source = "data/first.jsonl"
type = "completion"
[dataset.all]
source = "data/*.jsonl"
type = "completion"
"""
F_SETSIG = 10


@pytest.fixture
def recorded(tmp_path: Path) -> Folder:
    """Two datasets whose files lay still before they were recorded."""
    folder = Folder(tmp_path / "recipe")
    (folder.path / "data").mkdir(parents=True)
    (folder.path / "recipe.toml").write_text(RECIPE)
    for name in ("first", "second"):
        (folder.path / "data" / f"{name}.jsonl").write_text('{"text": "a row"}\n')
    time.sleep(RACY_NANOSECONDS / 1e9 + 0.1)
    assert folder.apply() == {"dataset.first": "recorded", "dataset.all": "recorded"}
    return folder


@pytest.mark.processes
def test_unchanged_files_are_not_even_opened(recorded: Folder) -> None:
    file = os.open(recorded.path / "data" / "first.jsonl", os.O_RDWR)
    try:
        # The kernel takes this lease away from us, and tells it by a signal, as soon as anybody opens the file.
        fcntl.fcntl(file, F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        assert recorded.tune("plan").stdout == "No changes. Your models match the recipe.\n"
        assert fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_WRLCK
        os.write(file, b'{"text": "b row"}\n')
        with recorded.start("plan", "--detailed-exitcode") as planning:
            while fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_WRLCK:
                assert planning.poll() is None
                time.sleep(0.01)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            assert planning.wait() == 2
    finally:
        os.close(file)


@pytest.mark.processes
def test_a_plan_is_the_same_from_every_working_directory(recorded: Folder, tmp_path: Path) -> None:
    (recorded.path / "data" / "second.jsonl").write_text('{"text": "another row"}\n')
    (tmp_path / "link").symlink_to(recorded.path)
    places = [
        (recorded.path, "."),
        (recorded.path, "recipe.toml"),
        (recorded.path / "data", "../recipe.toml"),
        (tmp_path, "recipe"),
        (tmp_path, "link/recipe.toml"),
        (Path("/"), str(recorded.path)),
    ]
    said = {
        subprocess.run([TUNE, "plan", recipe, "--json"], cwd=folder, capture_output=True, check=True).stdout
        for folder, recipe in places
    }
    assert len(said) == 1
    assert b'"content_changed"' in said.pop()


@pytest.mark.processes
def test_output_that_finds_no_room_is_told_in_words(recorded: Folder) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [TUNE, "plan"], cwd=recorded.path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: Disk full [TUNE232]\n"
        "  There is no room left for what is written.\n"
        "  hint: Make room, and do the same again.\n"
    )


@pytest.mark.processes
def test_a_plan_that_finds_no_room_to_remember_digests_is_made_all_the_same(recorded: Folder) -> None:
    (recorded.path / "data" / "second.jsonl").write_text('{"text": "another row"}\n')
    cache = recorded.path / ".tune" / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    cache.write_text("a file, so that nothing can be written below it")
    assert "content" in recorded.tune("plan").stdout


@pytest.mark.processes
def test_a_plan_loads_no_kind_that_its_recipe_does_not_use(recorded: Folder) -> None:
    code = "import sys; from tune.project import open_project; open_project('.').plan(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=recorded.path, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {one for one in loaded if one.startswith("executor.kinds.")} == {"executor.kinds.dataset"}
    assert not loaded & {
        "importlib.metadata",
        "rich",
        "tomlkit",
        "ruamel.yaml",
        "executor.methods",
        "executor.training",
    }
