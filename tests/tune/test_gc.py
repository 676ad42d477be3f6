"""`tune gc` as a person uses it, on a state of fake kinds: it needs no recipe that can be planned, and no torch."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from state.lock import Lock
from state.owner import this_process
from tests.tune.conftest import TUNE, Folder

RECIPE = "[thing.a]\n"
EDITED = '[thing.a]\ncolour = "blue"\n'


@pytest.fixture
def edited(workshop: Any) -> Any:
    workshop.write(RECIPE)
    workshop.apply()
    workshop.write(EDITED)
    workshop.apply()
    return workshop


def folders(workshop: Any) -> list[str]:
    """The artifacts and checkpoints that are there."""
    root = workshop.layout.root
    return sorted(path.parent.relative_to(root).as_posix() for path in root.rglob("manifest.json"))


def superseded(workshop: Any) -> Any:
    (found,) = workshop.state().superseded.values()
    return found.record


def size(workshop: Any, folder: str) -> int:
    return sum(path.stat().st_size for path in (workshop.layout.root / folder).rglob("*") if path.is_file())


def answer(workshop: Any, text: str, *arguments: str) -> tuple[int, str]:
    """Run `tune gc` on a terminal, type an answer; its exit code and what it said."""
    own, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(TUNE), "gc", *arguments],
        cwd=workshop.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(theirs)
    os.write(own, f"{text}\n".encode())
    said = b""
    while True:
        try:
            said += os.read(own, 4096)
        except OSError:
            break
    os.close(own)
    return process.wait(), said.decode().replace("\r\n", "\n")


def test_a_preview_names_what_goes_and_why_and_leaves_everything(edited: Any) -> None:
    old, before = superseded(edited), folders(edited)
    run = str(Path(old.checkpoints[0].folder).parent)
    done = Folder(edited.folder).tune("gc", "--keep", "0", "--dry-run")
    total = size(edited, old.artifact) + size(edited, run)
    assert done.stdout == (
        f"  - .tune/{old.artifact}  {size(edited, old.artifact)} B\n"
        "        of a superseded result of thing.a\n"
        f"  - .tune/{run}  {size(edited, run)} B\n"
        "        checkpoints of a superseded result of thing.a\n"
        "\n"
        f"To collect: 2 paths, {total / 1000:.1f} kB.\n"
        "The state forgets 1 superseded record; history does not.\n"
    )
    assert folders(edited) == before


def test_by_default_the_last_edit_can_be_undone(edited: Any) -> None:
    assert Folder(edited.folder).tune("gc", "--auto-approve").stdout == "Nothing to collect.\n"
    edited.write(RECIPE)
    assert edited.actions() == {"thing.a": "adopt"}


def test_nobody_is_asked_who_cannot_answer(edited: Any) -> None:
    before = folders(edited)
    done = Folder(edited.folder).tune("gc", "--keep", "0", expect=1)
    assert done.stderr == (
        "Error: Invalid usage [TUNE400]\n"
        "  There is nobody to approve this.\n"
        "  hint: Use --auto-approve, or --dry-run to see what would go.\n"
    )
    assert "To collect: 2 paths" in done.stdout
    assert folders(edited) == before


@pytest.mark.parametrize("text", ["", "y", "no", "Yes"])
def test_only_yes_is_an_approval(edited: Any, text: str) -> None:
    before = folders(edited)
    code, said = answer(edited, text, "--keep", "0")
    assert code == 1
    assert "Error: Not approved [TUNE401]\n  Nothing was removed.\n" in said
    assert folders(edited) == before


def test_yes_removes_what_was_shown(edited: Any) -> None:
    code, said = answer(edited, "yes", "--keep", "0")
    assert code == 0, said
    assert "Remove all this? Collected 2 paths, " in said
    assert len(folders(edited)) == 5
    assert not edited.state().superseded
    assert edited.actions() == {}


def test_machines_read_what_was_removed_and_history_tells_who_did_it(edited: Any) -> None:
    old = superseded(edited)
    before = size(edited, ".")
    done = Folder(edited.folder).tune("gc", "--keep", "0", "--auto-approve", "--json", "--older-than", "0d")
    said = json.loads(done.stdout)
    assert {name: said[name] for name in said if name not in ("paths", "bytes")} == {
        "removed": True,
        "shared": [],
        "superseded": [old.action_key],
        "without_checkpoints": [],
        "not_followed": [],
    }
    assert [one["path"] for one in said["paths"]] == [
        f".tune/{old.artifact}", f".tune/{Path(old.checkpoints[0].folder).parent}",
    ]  # fmt: skip
    assert said["bytes"] == sum(one["bytes"] for one in said["paths"]) < before
    log = Folder(edited.folder).tune("state", "log", "-n", "1").stdout
    assert "Command:  tune gc\nBecause:  superseded records collected: 1\n" in log
    shown = Folder(edited.folder).tune("state", "show", old.output_digest).stdout
    assert "superseded" in shown


def test_checkpoints_of_finished_runs_go_on_request_and_that_is_said(edited: Any) -> None:
    said = Folder(edited.folder).tune("gc", "--checkpoints", "--auto-approve").stdout
    assert "  - .tune/checkpoints/thing/a/" in said
    assert "        checkpoints of thing.a, which is finished\n" in said
    assert "2 finished runs cannot be extended any more, but trained anew.\n" in said
    assert [one.rsplit("/", 2)[0] for one in folders(edited)] == ["artifacts/thing"] * 2


def test_while_another_command_works_nothing_is_collected(edited: Any) -> None:
    before = folders(edited)
    with Lock(edited.backend, this_process("tune apply", "plan")):
        shown = Folder(edited.folder).tune("gc", "--keep", "0", "--dry-run").stdout
        refused = Folder(edited.folder).tune("gc", "--keep", "0", "--auto-approve", expect=1).stderr
    assert "To collect: 2 paths" in shown
    assert "`tune apply`" in refused
    assert folders(edited) == before


def test_a_lost_state_is_no_reason_to_remove_anything(edited: Any) -> None:
    (edited.layout.root / "state.json").unlink()
    before = folders(edited)
    refused = Folder(edited.folder).tune("gc", "--auto-approve", expect=1).stderr
    assert "Error: No state [TUNE304]\n" in refused
    assert folders(edited) == before


def test_where_nothing_was_ever_made_there_is_nothing_to_collect_and_nothing_is_written(workshop: Any) -> None:
    workshop.write(RECIPE)
    assert Folder(workshop.folder).tune("gc").stdout == "Nothing to collect.\n"
    assert not workshop.layout.root.exists()


def test_a_link_is_named_and_not_followed(edited: Any, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (edited.layout.root / "artifacts" / "linked").symlink_to(tmp_path / "precious")
    said = Folder(edited.folder).tune("gc", "--auto-approve").stdout
    assert said == "Not looked into: .tune/artifacts/linked is a symbolic link.\nNothing to collect.\n"
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--older-than", "soon"], "'soon' is no duration: write 30s, 10m, 2h or 7d."),
        (["--keep", "-1"], "-1 is not in the range x>=0."),
        (["--shared"], "The recipe shares no artifacts."),
        (["nowhere"], "There is no `nowhere`."),
    ],
)
def test_wrong_usage_is_said(edited: Any, arguments: list[str], message: str) -> None:
    assert message in Folder(edited.folder).tune("gc", *arguments, expect=1).stderr


def test_the_shared_folder_is_collected_on_request(workshop: Any) -> None:
    from state.folder_backend import FolderBackend
    from state.shared_store import SharedStore

    workshop.shared = SharedStore(FolderBackend(workshop.folder / "shared", "shared"), "")
    for recipe in (RECIPE, EDITED):
        workshop.write(recipe)
        workshop.apply()
    workshop.write('[state]\nartifacts = "shared"\n')
    old = superseded(workshop)
    assert workshop.shared.has(old.action_key)
    said = Folder(workshop.folder).tune("gc", "--keep", "0", "--shared", "--auto-approve").stdout
    assert "  - 4 objects in " in said
    assert not workshop.shared.has(old.action_key)
    assert workshop.shared.has(workshop.state().records["thing.a"].action_key)
