"""A lock that is damaged, taken away or raced for: at any time it is held by one, or by nobody, and by no accident."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

from state.backend import Stored
from state.diagnostic import Diagnostic, Place, ProblemError
from state.folder_backend import FolderBackend
from state.lock import Lock, read_owner, unlock
from state.owner import this_process
from tests.state.examples import FLIPS, damage, tear
from tests.state.lock_holders import free, left_behind

RACES = """
import sys, time
from pathlib import Path
from state.diagnostic import ProblemError
from state.folder_backend import FolderBackend
from state.lock import Lock
from state.owner import this_process

print("ready", flush=True)
sys.stdin.readline()
try:
    with Lock(FolderBackend(Path(sys.argv[1]), ".tune"), this_process("race", "")) as lock:
        print("took over" if lock.taken_from else "found it free", flush=True)
        sys.stdin.read()
except ProblemError as error:
    print(error.diagnostics[0].summary, flush=True)
"""

CONTENDS = """
import os, sys, time
from pathlib import Path
from state.folder_backend import FolderBackend
from state.lock import Lock
from state.owner import this_process

root, rounds = Path(sys.argv[1]), int(sys.argv[2])
root.mkdir(exist_ok=True)
log = os.open(root / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for _ in range(rounds):
    with Lock(FolderBackend(root, ".tune"), this_process("contend", ""), timeout=60):
        os.write(log, f"start {os.getpid()}\\n".encode())
        time.sleep(0.005)
        os.write(log, f"end {os.getpid()}\\n".encode())
"""


@pytest.fixture
def backend(tmp_path: Path) -> FolderBackend:
    return FolderBackend(tmp_path / ".tune", ".tune")


@pytest.fixture
def file(backend: FolderBackend) -> Path:
    return backend.root / "lock.json"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b'{"id": "1"}', b"\xff\xfe", b"[" * 100_000],
)
def test_a_lock_file_that_cannot_be_read_holds_nobody_up(backend: FolderBackend, content: bytes) -> None:
    backend.put_if_absent("lock.json", content)
    assert read_owner(backend) is None
    with Lock(backend, this_process("apply", "")) as lock:
        lock.check()


def test_a_heartbeat_that_is_no_time_makes_no_owner(backend: FolderBackend) -> None:
    left_behind(backend, heartbeat="yesterday", host="elsewhere")
    assert read_owner(backend) is None
    assert free(backend)


@pytest.mark.parametrize("mask", FLIPS)
def test_a_damaged_lock_is_held_by_somebody_or_free_but_never_a_traceback(
    backend: FolderBackend, file: Path, mask: int
) -> None:
    left_behind(backend)
    for _ in damage(file, mask):
        try:
            read_owner(backend)
            with Lock(backend, this_process("apply", "")):
                pass
        except ProblemError as error:
            assert error.diagnostics[0].summary == "Another apply is running"  # noqa: PT017  either is right
            continue
        break  # taken and given back: nothing is left to damage
    else:
        pytest.fail("a lock was held in spite of every damage")


def test_a_torn_lock_is_free(backend: FolderBackend, file: Path) -> None:
    owner = left_behind(backend)
    without_newline, *torn = [read_owner(backend) for _ in tear(file)]
    assert without_newline == owner
    assert set(torn) == {None}


def test_a_lock_can_be_taken_away_by_its_identifier_and_by_nothing_else(backend: FolderBackend) -> None:
    place = Place(".tune/lock.json")
    with pytest.raises(ProblemError) as caught:
        unlock(backend, "1f")
    assert caught.value.diagnostics == (Diagnostic("Not locked", "Nobody holds the lock.", place=place),)
    with Lock(backend, this_process("apply", "")) as lock:
        with pytest.raises(ProblemError) as caught:
            unlock(backend, "1f")
        hint = "Name the lock that you have made sure to be abandoned."
        detail = f"The lock {lock.owner.id} is held by {lock.owner}; you named `1f`."
        assert caught.value.diagnostics == (Diagnostic("Another lock", detail, hint, place),)
        lock.check()
        assert unlock(backend, lock.owner.id).id == lock.owner.id
        with pytest.raises(ProblemError, match="Lock lost"):
            lock.check()
        lock.beat()
        assert read_owner(backend) is None
        assert free(backend)
    with pytest.raises(ProblemError, match="Nobody holds the lock"):
        unlock(backend, lock.owner.id)


def test_a_lock_that_is_renewed_in_this_moment_is_not_taken_away(backend: FolderBackend) -> None:
    @frozen
    class Renewed(FolderBackend):
        """A place where the owner renews the lock right after it was first read."""

        def get(self, name: str) -> Stored | None:
            found = super().get(name)
            if renewals:
                renewals.pop()()
            return found

    with Lock(backend, this_process("apply", "")) as lock:
        renewals = [lock.beat]
        with pytest.raises(ProblemError) as caught:
            unlock(Renewed(backend.root, ".tune"), lock.owner.id)
        assert caught.value.diagnostics == (
            Diagnostic(
                "Lock in use",
                f"The lock is held by {lock.owner}, who renewed it in this moment: it is not abandoned.",
                "Ask its owner to stop; Ctrl-C saves a checkpoint first.",
                Place(".tune/lock.json"),
            ),
        )
        lock.check()


def test_of_four_who_race_for_the_lock_of_a_dead_owner_exactly_one_gets_it(backend: FolderBackend) -> None:
    left_behind(backend, process_start="1")
    command = [sys.executable, "-c", RACES, str(backend.root)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.stdout for process in processes if process.stdout is not None]
    assert [output.readline() for output in outputs] == ["ready\n"] * 4
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = sorted(output.readline() for output in outputs)
    assert told == ["Another apply is running\n"] * 3 + ["took over\n"]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 4


@pytest.mark.processes
def test_of_six_processes_one_holds_the_lock_at_any_time(backend: FolderBackend) -> None:
    rounds = 3
    command = [sys.executable, "-c", CONTENDS, str(backend.root), str(rounds)]
    processes = [subprocess.Popen(command) for _ in range(6)]
    assert [process.wait(120) for process in processes] == [0] * 6
    lines = (backend.root / "log").read_text().split("\n")[:-1]
    assert len(lines) == 6 * rounds * 2
    for start, end in zip(lines[::2], lines[1::2], strict=True):
        assert start.startswith("start ")
        assert end == start.replace("start", "end")
    assert read_owner(backend) is None
