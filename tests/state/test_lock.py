"""The lock: one living process at a time, by name; it is waited for, renewed, given back and lost."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from attrs import evolve

from state import lock as lock_module
from state.diagnostic import Diagnostic, Place, ProblemError
from state.folder_backend import FolderBackend
from state.lock import Lock, is_dead, read_owner
from state.owner import Owner, this_process
from tests.state.lock_holders import free, held_elsewhere, left_behind


@pytest.fixture
def backend(tmp_path: Path) -> FolderBackend:
    return FolderBackend(tmp_path / ".tune", ".tune")


@pytest.fixture
def file(backend: FolderBackend) -> Path:
    return backend.root / "lock.json"


def test_a_second_process_is_refused_and_told_who_holds_the_lock(backend: FolderBackend) -> None:
    with held_elsewhere(backend) as process:
        holder = read_owner(backend)
        assert holder is not None
        with pytest.raises(ProblemError) as caught, Lock(backend, this_process("apply", "")):
            pass
    created = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(holder.created))
    assert caught.value.diagnostics == (
        Diagnostic(
            "Another apply is running",
            f"The lock {holder.id} is held by ada@{socket.gethostname()} "
            f"(process {process.pid}, `apply recipe.toml`, since {created}).",
            "Wait until it has finished, or have it waited for: `--lock-timeout 10m`. A lock whose owner has died is "
            f"taken over by itself; if you know better, `tune state unlock {holder.id}`.",
            Place(".tune/lock.json"),
        ),
    )


def test_being_refused_does_not_disturb_the_owner(backend: FolderBackend, file: Path) -> None:
    with held_elsewhere(backend) as process:
        before = file.read_bytes()
        with pytest.raises(ProblemError), Lock(backend, this_process("apply", "")):
            pass
        assert file.read_bytes() == before
        process.communicate()
        assert process.returncode == 0
    assert free(backend)


def test_a_lock_that_was_given_back_is_free_and_was_taken_from_nobody(backend: FolderBackend, file: Path) -> None:
    for _ in range(2):
        with Lock(backend, this_process("apply", "")) as lock:
            assert lock.taken_from is None
            held = read_owner(backend)
            assert held is not None
            assert evolve(held, heartbeat=lock.owner.heartbeat) == lock.owner
        assert read_owner(backend) is None
        assert file.read_bytes() == b'{"released": true}\n'


def test_the_lock_is_given_back_when_the_work_fails(backend: FolderBackend) -> None:
    with pytest.raises(RuntimeError), Lock(backend, this_process("apply", "")):
        raise RuntimeError
    assert free(backend)


def test_a_lock_that_is_given_back_in_time_is_waited_for(backend: FolderBackend) -> None:
    told: list[Owner] = []
    with held_elsewhere(backend) as process:
        holder = read_owner(backend)
        ends = threading.Timer(0.5, process.communicate)
        ends.start()
        with Lock(backend, this_process("apply", ""), timeout=60, waiting=told.append) as lock:
            assert lock.taken_from is None
        ends.join()
    assert told == [holder]


def test_waiting_has_an_end(backend: FolderBackend) -> None:
    told: list[Owner] = []
    with held_elsewhere(backend, heartbeat=0.05):
        lock = Lock(backend, this_process("apply", ""), timeout=0.4, waiting=told.append)
        with pytest.raises(ProblemError, match="Another apply is running"), lock:
            pass
    assert len(told) == 1


def test_the_lock_of_a_killed_process_is_taken_over_by_name(backend: FolderBackend) -> None:
    with held_elsewhere(backend) as process:
        process.kill()
        process.wait()
        left = read_owner(backend)
        assert left is not None
        assert left.pid == process.pid
        assert is_dead(left)
        with Lock(backend, this_process("apply", "")) as lock:
            assert lock.taken_from == left
            lock.check()


def test_the_corpse_of_a_killed_process_is_dead_before_its_parent_has_buried_it(backend: FolderBackend) -> None:
    with held_elsewhere(backend) as process:
        left = read_owner(backend)
        assert left is not None
        assert not is_dead(left)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(left)


def test_a_stopped_process_is_not_dead(backend: FolderBackend) -> None:
    with held_elsewhere(backend) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(ProblemError, match="Another apply is running"), Lock(backend, this_process("apply", "")):
            pass
        process.send_signal(signal.SIGCONT)


def test_an_owner_who_lost_the_lock_must_stop_and_leaves_it_to_the_new_one(backend: FolderBackend) -> None:
    with Lock(backend, this_process("apply", "")) as lock:
        lock.check()
        thief = left_behind(backend)
        with pytest.raises(ProblemError) as caught:
            lock.check()
    assert caught.value.diagnostics == (
        Diagnostic(
            "Lock lost",
            "Another process has taken the lock over, so this one stops without writing.",
            "Run `tune plan` to see what is left to do.",
            Place(".tune/lock.json"),
        ),
    )
    assert read_owner(backend) == thief


def test_a_lock_file_that_was_removed_is_a_lost_lock(backend: FolderBackend, file: Path) -> None:
    with Lock(backend, this_process("apply", "")) as lock:
        file.unlink()
        with pytest.raises(ProblemError, match="Lock lost"):
            lock.check()
    assert not file.exists()


def test_the_heartbeat_renews_the_time_and_nothing_else(backend: FolderBackend) -> None:
    owner = evolve(this_process("apply", "plan"), heartbeat=1.0)
    lock = Lock(backend, owner)
    with lock:
        before = time.time()
        lock.beat()
        renewed = read_owner(backend)
    assert renewed is not None
    assert before <= renewed.heartbeat <= time.time()
    assert evolve(renewed, heartbeat=1.0) == owner


def test_the_heart_beats_by_itself_while_the_lock_is_held(
    backend: FolderBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_SECONDS", 0.01)
    seen: set[float] = set()
    with Lock(backend, this_process("apply", "")) as lock:
        while len(seen) < 4:
            held = read_owner(backend)
            assert held is not None
            seen.add(held.heartbeat)
            time.sleep(0.005)
        lock.check()
    assert read_owner(backend) is None


def test_the_heartbeat_does_not_take_a_lost_lock_back(backend: FolderBackend) -> None:
    with Lock(backend, this_process("apply", "")) as lock:
        thief = left_behind(backend)
        lock.beat()
        assert read_owner(backend) == thief
