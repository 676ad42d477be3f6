"""The lock: one living process at a time, by name; the dead are recognised, and what they leave is taken over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from state import lock as lock_module
from state.diagnostic import Place, ProblemError
from state.layout import Layout
from state.lock import EXPIRY_SECONDS, HEARTBEAT_SECONDS, Lock, Owner, is_dead, read_owner, this_process

HOLDS = """
import sys, time
from pathlib import Path
from state.layout import Layout
from state.lock import Lock, this_process

with Lock(Layout(Path(sys.argv[1])), this_process("apply recipe.toml", "plan")):
    print("held", flush=True)
    sys.stdin.read()
"""

CONTENDS = """
import os, sys, time
from pathlib import Path
from state.diagnostic import ProblemError
from state.layout import Layout
from state.lock import Lock, this_process

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while rounds:
    try:
        with Lock(Layout(folder), this_process("contend", "")):
            os.write(log, f"start {os.getpid()}\\n".encode())
            time.sleep(0.005)
            os.write(log, f"end {os.getpid()}\\n".encode())
            rounds -= 1
    except ProblemError:
        pass
    time.sleep(0.002)
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@contextmanager
def held_elsewhere(layout: Layout) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends."""
    command = [sys.executable, "-c", HOLDS, str(layout.recipe_folder)]
    environment = os.environ | {"USER": "ada"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def left_behind(layout: Layout, **changes: Any) -> Owner:
    """A lock file whose owner was this process, but for the changes."""
    owner = evolve(this_process("apply", "plan"), **changes)
    layout.create()
    lock_module._write(layout.lock, owner)
    return owner


def test_a_second_process_is_refused_and_told_who_holds_the_lock(layout: Layout) -> None:
    with held_elsewhere(layout) as process:
        since = read_owner(layout)
        assert since is not None
        with pytest.raises(ProblemError) as caught, Lock(layout, this_process("apply", "")):
            pass
    (diagnostic,) = caught.value.diagnostics
    created = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(since.created))
    assert diagnostic.summary == "Another apply is running"
    assert diagnostic.detail == (
        f"The lock is held by ada@{socket.gethostname()} (process {process.pid}, `apply recipe.toml`, since {created})."
    )
    assert diagnostic.hint == "Wait until it has finished; a lock whose owner has died is taken over by itself."
    assert diagnostic.place == Place(".tune/lock.json")


def test_being_refused_does_not_disturb_the_owner(layout: Layout) -> None:
    with held_elsewhere(layout) as process:
        before = layout.lock.read_bytes()
        with pytest.raises(ProblemError), Lock(layout, this_process("apply", "")):
            pass
        assert layout.lock.read_bytes() == before
        process.communicate()
        assert process.returncode == 0
    assert not layout.lock.exists()


def test_a_lock_that_was_given_back_is_free_and_was_taken_from_nobody(layout: Layout) -> None:
    for _ in range(2):
        with Lock(layout, this_process("apply", "")) as lock:
            assert lock.taken_from is None
            assert read_owner(layout) == lock.owner
        assert read_owner(layout) is None


def test_the_lock_is_given_back_when_the_work_fails(layout: Layout) -> None:
    with pytest.raises(RuntimeError), Lock(layout, this_process("apply", "")):
        raise RuntimeError
    assert not layout.lock.exists()


def test_the_lock_of_a_killed_process_is_taken_over_by_name(layout: Layout) -> None:
    with held_elsewhere(layout) as process:
        process.kill()
        process.wait()
        left = read_owner(layout)
        assert left is not None
        assert left.pid == process.pid
        assert is_dead(left)
        with Lock(layout, this_process("apply", "")) as lock:
            assert lock.taken_from == left
            assert read_owner(layout) == lock.owner


def test_the_corpse_of_a_killed_process_is_dead_before_its_parent_has_buried_it(layout: Layout) -> None:
    with held_elsewhere(layout) as process:
        left = read_owner(layout)
        assert left is not None
        assert not is_dead(left)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(left)


@pytest.mark.parametrize("changes", [{"process_start": "1"}, {"boot": "another"}], ids=["reused pid", "other boot"])
def test_a_process_number_that_means_another_process_is_dead(layout: Layout, changes: dict[str, str]) -> None:
    owner = left_behind(layout, **changes)
    assert is_dead(owner)
    with Lock(layout, this_process("apply", "")) as lock:
        assert lock.taken_from == owner


def test_this_process_is_alive_however_old_its_heartbeat_is() -> None:
    assert not is_dead(evolve(this_process("apply", ""), heartbeat=0.0))


@pytest.mark.parametrize(("silence", "dead"), [(0, False), (EXPIRY_SECONDS - 30, False), (EXPIRY_SECONDS + 30, True)])
def test_on_another_host_silence_decides(layout: Layout, silence: float, dead: bool) -> None:  # noqa: FBT001
    owner = left_behind(layout, host="elsewhere", pid=1, boot="another", heartbeat=time.time() - silence)
    assert is_dead(owner) == dead
    if dead:
        with Lock(layout, this_process("apply", "")) as lock:
            assert lock.taken_from == owner
    else:
        with pytest.raises(ProblemError, match="@elsewhere"), Lock(layout, this_process("apply", "")):
            pass
        assert read_owner(layout) == owner


def test_several_heartbeats_may_be_missed_before_an_owner_counts_as_dead() -> None:
    assert EXPIRY_SECONDS >= 5 * HEARTBEAT_SECONDS


def test_an_owner_who_lost_the_lock_must_stop_and_leaves_it_to_the_new_one(layout: Layout) -> None:
    with Lock(layout, this_process("apply", "")) as lock:
        lock.check()
        thief = left_behind(layout)
        with pytest.raises(ProblemError) as caught:
            lock.check()
    assert caught.value.diagnostics[0].summary == "Lock lost"
    assert caught.value.diagnostics[0].place == Place(".tune/lock.json")
    assert read_owner(layout) == thief


def test_a_lock_file_that_was_removed_is_a_lost_lock(layout: Layout) -> None:
    with Lock(layout, this_process("apply", "")) as lock:
        layout.lock.unlink()
        with pytest.raises(ProblemError, match="Lock lost"):
            lock.check()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b'{"id": "1"}', b"\xff\xfe"])
def test_a_lock_file_that_cannot_be_read_holds_nobody_up(layout: Layout, content: bytes) -> None:
    layout.create()
    layout.lock.write_bytes(content)
    assert read_owner(layout) is None
    with Lock(layout, this_process("apply", "")) as lock:
        assert read_owner(layout) == lock.owner


def test_the_heartbeat_renews_the_time_and_nothing_else(layout: Layout) -> None:
    owner = evolve(this_process("apply", "plan"), heartbeat=1.0)
    lock = Lock(layout, owner)
    with lock:
        before = time.time()
        lock.beat()
        renewed = read_owner(layout)
    assert renewed is not None
    assert before <= renewed.heartbeat <= time.time()
    assert evolve(renewed, heartbeat=1.0) == owner


def test_the_heartbeat_does_not_take_a_lost_lock_back(layout: Layout) -> None:
    with Lock(layout, this_process("apply", "")) as lock:
        thief = left_behind(layout)
        lock.beat()
        assert read_owner(layout) == thief


def test_of_eight_processes_one_holds_the_lock_at_any_time(layout: Layout) -> None:
    rounds = 3
    command = [sys.executable, "-c", CONTENDS, str(layout.recipe_folder), str(rounds)]
    processes = [subprocess.Popen(command) for _ in range(8)]
    assert [process.wait(60) for process in processes] == [0] * 8
    lines = (layout.recipe_folder / "log").read_text().split("\n")[:-1]
    assert len(lines) == 8 * rounds * 2
    for start, end in zip(lines[::2], lines[1::2], strict=True):
        assert start.startswith("start ")
        assert end == start.replace("start", "end")
    assert not layout.lock.exists()
