"""Who writes has the lock, begins with what a killed run left, and stops when somebody else has taken over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from attrs import evolve

from state import lock as lock_module
from state.change import put
from state.diagnostic import ProblemError
from state.folder_backend import FolderBackend
from state.history import Author
from state.journal import Begun, Checkpointed, Ended, current_state
from state.lock import Lock, read_owner, unlock
from state.owner import this_process
from state.record import EMPTY, Checkpoint, State
from state.store import Store
from state.writer import Writer, writing
from tests.processes import running
from tests.state.examples import record

ADA = Author("ada@gpu-host", "tune apply", "p1")
CHECKPOINTS = (Checkpoint(1, "checkpoint-1", "c1"),)

IS_KILLED = """
import os, signal, sys
from pathlib import Path
from attrs import evolve
from state.folder_backend import FolderBackend
from state.history import Author
from state.journal import Begun, Checkpointed
from state.lock import Lock
from state.owner import this_process
from state.record import Checkpoint, Record, Status
from state.store import Store
from state.writer import writing

backend = FolderBackend(Path(sys.argv[1]), ".tune")
begun = Record("raw", {"source": "k"}, {}, {}, 1, "k", Status.READY, output_digest="k")
with writing(Store(backend, "0"), Lock(backend, this_process("apply", "")), Author("bob", "tune apply")) as writer:
    writer.name()
    writer.begin(Begun("raw.a", begun))
    writer.begin(Checkpointed("raw.a", (Checkpoint(1, "checkpoint-1", "c1"),)))
    os.kill(os.getpid(), signal.SIGKILL)
"""

LOSES_THE_LOCK = """
import sys
from pathlib import Path
from state import owner
from state.change import put
from state.diagnostic import ProblemError
from state.folder_backend import FolderBackend
from state.history import Author
from state.journal import Begun
from state.lock import Lock
from state.owner import this_process
from state.record import Record, Status
from state.store import Store
from state.writer import writing

if sys.argv[2]:
    owner.host_name = lambda: sys.argv[2]
backend = FolderBackend(Path(sys.argv[1]), ".tune")
late = Record("raw", {}, {}, {}, 1, "late", Status.READY)
with writing(Store(backend, "0"), Lock(backend, this_process("apply", "")), Author("bob", "tune apply")) as writer:
    writer.name()
    writer.begin(Begun("raw.a", late))
    print("working", flush=True)
    sys.stdin.readline()
    state = put(writer.state, "raw.a", late)
    for write in (
        lambda: writer.save(state),
        lambda: writer.begin(Begun("raw.b", late)),
        lambda: writer.store.save(state, writer.author),  # as if it had been stopped right after its last check
        lambda: writer.journal.append(Begun("raw.b", late), writer.state),
    ):
        try:
            write()
            print("written", flush=True)
        except ProblemError as error:
            print(error.diagnostics[0].summary, flush=True)
"""

COUNTS = """
import sys
from pathlib import Path
from attrs import evolve
from state.change import put
from state.diagnostic import ProblemError
from state.folder_backend import FolderBackend
from state.history import Author
from state.lock import Lock
from state.owner import this_process
from state.record import Record, Status
from state.store import Store
from state.writer import writing

backend = FolderBackend(Path(sys.argv[1]), ".tune")
lock = Lock(backend, this_process("count", ""), timeout=float(sys.argv[2]))
try:
    with writing(Store(backend, "0"), lock, Author("ada", "count")) as writer:
        before = writer.state.records.get("raw.counter")
        count = (before.settings["count"] if before else 0) + 1
        record = Record("raw", {"count": count}, {}, {}, 1, str(count), Status.READY)
        writer.save(put(writer.state, "raw.counter", record), f"counted to {count}")
    print("counted")
except ProblemError as error:
    print(error.diagnostics[0].summary)
"""


@pytest.fixture
def backend(tmp_path: Path) -> FolderBackend:
    return FolderBackend(tmp_path / ".tune", ".tune")


def store_of(backend: FolderBackend) -> Store:
    return Store(backend, "0")


@contextmanager
def opened(backend: FolderBackend, timeout: float = 0.0) -> Iterator[Writer]:
    with writing(store_of(backend), Lock(backend, this_process("apply", "p1"), timeout), ADA) as writer:
        writer.name()
        yield writer


def reasons(backend: FolderBackend) -> list[str]:
    """Why each write was done, the oldest first."""
    store = store_of(backend)
    return [entry.because for _, entry in store.history.newest_first(store.load())][::-1]


def kill_one_at_work(backend: FolderBackend) -> None:
    command = [sys.executable, "-c", IS_KILLED, str(backend.root)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


BEGUN = evolve(record("k"), checkpoints=CHECKPOINTS)


def test_whoever_changes_nothing_writes_nothing(backend: FolderBackend) -> None:
    with writing(store_of(backend), Lock(backend, this_process("apply", "p1")), ADA) as writer:
        assert writer.state == EMPTY
    assert sorted(path.name for path in backend.root.iterdir()) == ["guard", "lock.json"]


def test_the_first_writer_names_the_state(backend: FolderBackend) -> None:
    with opened(backend) as writer:
        assert writer.found == ""
        assert (writer.state.serial, len(writer.state.lineage)) == (1, 32)
    with opened(backend) as again:
        assert again.state == writer.state
        assert again.found == writer.state.digest
    assert reasons(backend) == ["began this state"]
    assert read_owner(backend) is None


def test_what_is_journalled_is_the_state_for_everyone_who_reads(backend: FolderBackend) -> None:
    with opened(backend) as writer:
        writer.begin(Begun("raw.a", record("k")))
        assert current_state(store_of(backend)).records == {"raw.a": record("k")}
        writer.begin(Checkpointed("raw.a", CHECKPOINTS))
        assert current_state(store_of(backend)).records == {"raw.a": BEGUN}
        writer.begin(Ended("raw.a", record("k", artifact="made")))
        writer.save(put(writer.state, "raw.a", record("k", artifact="made")), "built")
        assert current_state(store_of(backend)) == writer.state
    assert current_state(store_of(backend)).records == {"raw.a": record("k", artifact="made")}
    assert reasons(backend) == ["began this state", "built"]


def test_what_a_killed_run_journalled_is_written_down_exactly_once(backend: FolderBackend) -> None:
    kill_one_at_work(backend)
    assert current_state(store_of(backend)).records == {"raw.a": BEGUN}
    before = store_of(backend).load()
    assert before.records == {}
    with opened(backend) as writer:
        assert writer.found == before.digest
        assert writer.state.records == {"raw.a": BEGUN}
        assert writer.state.serial == 2
        recovered = writer.state
        writer.lock.taken_from = None
        writer.recover()
        assert writer.state == recovered
        Writer(writer.store, writer.journal, writer.lock, ADA).recover()
    assert store_of(backend).load() == current_state(store_of(backend)) == recovered
    with opened(backend) as writer:
        assert writer.state == recovered
        writer.begin(Begun("raw.b", record("b")))
    assert current_state(store_of(backend)).records == {"raw.a": BEGUN, "raw.b": record("b")}
    first, second = reasons(backend)
    assert first == "began this state"
    assert second.startswith("took over the lock of ")


def test_what_an_interrupted_run_journalled_is_written_down_by_the_next(backend: FolderBackend) -> None:
    with suppress(KeyboardInterrupt), opened(backend) as writer:
        writer.begin(Begun("raw.a", record("k")))
        raise KeyboardInterrupt
    with opened(backend) as writer:
        assert writer.lock.taken_from is None
        assert writer.state.records == {"raw.a": record("k")}
    with opened(backend):
        pass
    assert reasons(backend) == ["began this state", "recovered the journal of a run that was killed"]


def test_a_lock_that_was_taken_over_is_written_into_the_history_even_if_nothing_else_is(backend: FolderBackend) -> None:
    with opened(backend):
        pass
    dead = evolve(this_process("apply", ""), process_start="1")
    stored = backend.get("lock.json")
    assert stored is not None
    backend.put_if_match("lock.json", lock_module._as_bytes(dead), stored.version)
    with opened(backend) as writer:
        assert writer.lock.taken_from == dead
    assert reasons(backend) == ["began this state", f"took over the lock of {dead}"]


def test_the_lock_is_given_back_when_the_state_cannot_be_read(backend: FolderBackend) -> None:
    backend.put_if_absent("state.json", b"{")
    with pytest.raises(ProblemError, match="Damaged state"), opened(backend):
        pass
    assert read_owner(backend) is None
    stored = backend.get("state.json")
    assert stored is not None
    assert stored.content == b"{"


def test_a_damaged_journal_stops_the_writer_before_anything_is_written(backend: FolderBackend) -> None:
    with opened(backend):
        pass
    backend.put_if_absent("journal.json", b"{")
    with pytest.raises(ProblemError, match="Damaged journal"), opened(backend):
        pass
    assert reasons(backend) == ["began this state"]


def test_who_lost_the_lock_can_write_neither_state_nor_journal(backend: FolderBackend) -> None:
    with opened(backend) as writer:
        before = writer.state
        unlock(backend, writer.lock.owner.id)
        with pytest.raises(ProblemError, match="Lock lost"):
            writer.begin(Begun("raw.a", record("k")))
        with pytest.raises(ProblemError, match="Lock lost"):
            writer.save(put(before, "raw.a", record("k")))
    assert current_state(store_of(backend)) == before
    assert backend.get("journal.json") is None


@contextmanager
def stopped_at_work(backend: FolderBackend, host: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock, stopped in the middle of its work."""
    command = [sys.executable, "-c", LOSES_THE_LOCK, str(backend.root), host]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        yield process


def woken(process: subprocess.Popen[str]) -> list[str]:
    """What it says that became of its writes."""
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate("go on\n", timeout=60)
    assert process.returncode == 0
    return said.splitlines()


def test_an_owner_who_slept_while_the_lock_was_taken_over_can_write_nothing_and_says_so(
    backend: FolderBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "EXPIRY_SECONDS", 0.5)
    monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 0.2)
    with stopped_at_work(backend, "elsewhere") as process, opened(backend, timeout=60) as writer:
        assert writer.lock.taken_from is not None
        assert writer.lock.taken_from.pid == process.pid
        assert woken(process) == ["Lock lost", "Lock lost", "State has moved", "Journal has moved"]
        writer.begin(Begun("raw.mine", record("mine")))
        writer.save(put(writer.state, "raw.mine", record("mine")), "went on")
        expected = writer.state
    assert current_state(store_of(backend)) == expected
    assert expected.records.keys() == {"raw.a", "raw.mine"}
    assert reasons(backend)[2:] == ["went on"]


def test_an_owner_whose_lock_a_person_took_away_can_write_nothing_and_says_so(backend: FolderBackend) -> None:
    with stopped_at_work(backend, "") as process:
        held = read_owner(backend)
        assert held is not None
        unlock(backend, held.id)
        with opened(backend) as writer:
            writer.save(writer.state, "took the lock away")
            writer.begin(Begun("raw.mine", record("mine")))
            assert woken(process) == ["Lock lost", "Lock lost", "State has moved", "Journal has moved"]
            expected: State = writer.state
    assert store_of(backend).load() == expected


def count(backend: FolderBackend, processes: int, timeout: float) -> list[str]:
    """Many processes that each add one to the same number; returns what they say in the end."""
    command = [sys.executable, "-c", COUNTS, str(backend.root), str(timeout)]
    counting = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    said = [process.communicate(timeout=500)[0].strip() for process in counting]
    assert {process.returncode for process in counting} == {0}
    return said


def agrees(backend: FolderBackend, counted: int) -> None:
    """The number is how often somebody said to have added one, and the history tells each of them."""
    state = store_of(backend).load()
    assert state.records["raw.counter"].settings == {"count": counted}
    assert reasons(backend) == [f"counted to {number}" for number in range(1, counted + 1)]


def test_no_update_of_five_who_do_not_wait_is_lost(backend: FolderBackend) -> None:
    said = count(backend, 5, timeout=0)
    assert set(said) <= {"counted", "Another apply is running"}
    agrees(backend, said.count("counted"))


@pytest.mark.slow
def test_no_update_of_fifty_who_wait_for_each_other_is_lost(backend: FolderBackend) -> None:
    assert count(backend, 50, timeout=400) == ["counted"] * 50
    agrees(backend, 50)
