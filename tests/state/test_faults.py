"""A disk that is full, or fails, at any of our calls: what was there is there, old or new, and the file is named."""

from __future__ import annotations

import errno
import io
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from state import artifacts
from state.artifacts import publish
from state.change import put
from state.diagnostic import Diagnostic, ProblemError
from state.durable import durable_copy
from state.folder_backend import FolderBackend
from state.history import Author, HistoryEntry
from state.journal import Begun, Journal
from state.lock import Lock, read_owner
from state.owner import this_process
from state.record import State
from state.store import Store
from tests.state.examples import record

ADA = Author("ada@gpu-host", "test")
CONTENT = b"x" * 5000


@define
class FaultyDisk:
    """Refuses the n-th of our calls that change the disk, and all after it: full, or broken."""

    fails_at: int = 0
    """Counting from 1; 0 never."""
    code: int = errno.ENOSPC
    calls: list[str] = field(factory=list)

    def refuse(self, name: str) -> bool:
        self.calls.append(name)
        return 0 < self.fails_at <= len(self.calls)

    def error(self, *path: str) -> OSError:
        return OSError(self.code, os.strerror(self.code), *path)

    def fails(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.refuse(name):
                raise self.error(*(str(one) for one in arguments[:1] if isinstance(one, str | Path)))
            return real(*arguments, **options)

        return call

    def opened(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Files whose writes are torn: the first half arrives, then there is no room."""

        def call(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if mode != "wb":
                return real(path, mode, *arguments, **options)
            if self.refuse("open"):
                raise self.error(str(path))
            return Torn(self, str(path))

        return call


class Torn(io.FileIO):
    """A file on a faulty disk."""

    def __init__(self, disk: FaultyDisk, path: str) -> None:
        super().__init__(path, "w")
        self._disk = disk

    def write(self, content: Any) -> int:
        if self._disk.refuse("write"):
            super().write(content[: len(content) // 2])
            raise self._disk.error()
        return super().write(content)


@contextmanager
def faulty(fails_at: int, code: int = errno.ENOSPC) -> Iterator[FaultyDisk]:
    """Our own calls go through the faulty disk; pytest's and the test's do not once the block has ended."""
    disk = FaultyDisk(fails_at, code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pathlib.Path, "open", disk.opened(pathlib.Path.open))
        patch.setattr(os, "fsync", disk.fails("fsync", os.fsync))
        patch.setattr(os, "replace", disk.fails("replace", os.replace))
        yield disk


def each_fault(action: Callable[[], object]) -> Iterator[tuple[int, BaseException | None]]:
    """Do something once for every call to the disk that it makes, failing there; then once without a fault."""
    for code in (errno.ENOSPC, errno.EIO):
        position, told = 1, True
        while told:
            caught = None
            with faulty(position, code) as disk:
                try:
                    action()
                except (ProblemError, OSError) as error:
                    caught = error
            told = len(disk.calls) >= position
            assert (caught is not None) == told
            yield position, caught
            position += 1
        assert position > 4, disk.calls


@pytest.fixture
def backend(tmp_path: Path) -> FolderBackend:
    return FolderBackend(tmp_path / ".tune", ".tune")


def named(error: BaseException | None, *names: str) -> None:
    """What a person is told, if anything, names one of the files."""
    if error is None:
        return
    assert isinstance(error, ProblemError)
    (diagnostic,) = error.diagnostics
    assert diagnostic.summary == "State cannot be reached"
    assert diagnostic.detail.startswith(tuple(f"`.tune/{name}" for name in names))
    assert diagnostic.detail.endswith((": No space left on device.", ": Input/output error."))
    assert diagnostic.hint == "What was written before is whole. Make room or access, and run the command again."


def no_temporary_files(folder: Path) -> None:
    assert [path for path in folder.rglob("*") if path.name.endswith(".tmp")] == []


def test_a_state_that_cannot_be_written_is_the_old_one_or_the_new_one(backend: FolderBackend) -> None:
    state = Store(backend, "0").save(State("l", 0), ADA)
    keys = iter(range(1000))

    def save() -> None:
        store = Store(backend, "0")
        store.save(put(store.load(), "raw.a", record(str(next(keys)))), ADA)

    for _, error in each_fault(save):
        named(error, "state.json", "history/")
        before, state = state, Store(backend, "0").load()
        assert state == before or (state.serial, state.parent_digest) == (before.serial + 1, before.digest)
        assert len(list(Store(backend, "0").history.newest_first(state))) == state.serial
        no_temporary_files(backend.root)
        if error is None:
            assert state.serial == before.serial + 1


def test_a_history_entry_that_cannot_be_written_is_not_there_or_whole(backend: FolderBackend) -> None:
    serials = iter(range(1, 1000))
    entry = HistoryEntry(0, "", ADA, "", {})

    def add() -> None:
        nonlocal entry
        entry = HistoryEntry(next(serials), "2026", ADA, "", {"raw.a": record("a")})
        Store(backend, "0").history.add(entry)

    for _, error in each_fault(add):
        named(error, "history/")
        there = list(backend.list(f"history/{entry.serial:08d}-"))
        assert len(there) <= 1
        assert error is not None or there
        history = Store(backend, "0").history
        assert [history.entry(entry.serial, one.name[17:81]) for one in there] == [entry] * len(there)
        no_temporary_files(backend.root)


def test_a_journal_that_cannot_be_written_tells_all_but_the_last_entry_or_all(backend: FolderBackend) -> None:
    state = State("l", 1)
    keys = iter(range(1000))

    def append() -> None:
        journal = Journal(backend)
        journal.read(state)
        journal.append(Begun("raw.a", record(str(next(keys)))), state)

    entries: tuple[object, ...] = ()
    for _, error in each_fault(append):
        named(error, "journal.json")
        before, entries = entries, Journal(backend).read(state)
        assert entries[: len(before)] == before
        assert len(entries) - len(before) in ((0, 1) if error else (1,))
        no_temporary_files(backend.root)


def test_a_lock_that_cannot_be_written_can_be_given_back_all_the_same(backend: FolderBackend) -> None:
    locks: list[Lock] = []

    def take() -> None:
        locks.append(Lock(backend, this_process("apply", "")))
        locks[-1].__enter__()

    for _, error in each_fault(take):
        named(error, "lock.json")
        locks[-1].__exit__()
        assert read_owner(backend) is None
        no_temporary_files(backend.root)


def test_a_lock_that_cannot_be_given_back_is_that_of_a_process_that_ends(backend: FolderBackend) -> None:
    for fails_at in range(1, 6):
        lock = Lock(backend, this_process("apply", ""))
        with ExitStack() as disk, lock:
            disk.enter_context(faulty(fails_at))
        owner = read_owner(backend)
        assert owner is None or owner.id == lock.owner.id
        no_temporary_files(backend.root)
        lock.__exit__()
        assert read_owner(backend) is None


def test_a_heartbeat_that_fails_is_made_up_for_by_the_next(backend: FolderBackend) -> None:
    for fails_at in range(1, 7):
        with Lock(backend, this_process("apply", "")) as lock:
            before = read_owner(backend)
            assert before is not None
            with faulty(fails_at), suppress(ProblemError):
                lock.beat()
            lock.check()
            lock.beat()
            renewed = read_owner(backend)
            assert renewed is not None
            assert renewed.heartbeat > before.heartbeat
        assert read_owner(backend) is None


def test_an_artifact_that_cannot_be_published_does_not_exist_and_can_be_published_later(tmp_path: Path) -> None:
    for name in ("a.safetensors", "deep/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CONTENT)

    for _, error in each_fault(lambda: publish(tmp_path, {"loss": 1.0})):
        no_temporary_files(tmp_path)
        manifest = artifacts.read(tmp_path)
        if error is None:
            assert manifest is not None
        else:
            assert isinstance(error, OSError)
            assert str(error.filename).startswith(str(tmp_path))
        if manifest is not None:
            assert len(manifest.files) == 2
            assert artifacts.verify(tmp_path) == ()
            (tmp_path / "manifest.json").unlink()


def test_a_file_that_cannot_be_uploaded_is_not_there(backend: FolderBackend, tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(CONTENT)
    for _, error in each_fault(lambda: backend.upload("files/ab", source, lambda _: None)):
        named(error, "files/ab")
        if error is None:
            assert backend.size("files/ab") == len(CONTENT)
        assert backend.size("files/ab") in (None, len(CONTENT))
        no_temporary_files(backend.root)
        backend.delete("files/ab")


def test_a_copy_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(CONTENT)
    for _, error in each_fault(lambda: durable_copy(source, target, lambda _: None)):
        assert error is None or str(getattr(error, "filename", "")).startswith(str(tmp_path))
        assert (target.read_bytes() if target.exists() else b"old") in (b"old", CONTENT)
        target.write_bytes(b"old")
        no_temporary_files(tmp_path)


SAVES_MUCH = """
import resource, signal, sys
from pathlib import Path
from state.change import put
from state.diagnostic import ProblemError
from state.folder_backend import FolderBackend
from state.history import Author
from state.record import Record, Status
from state.store import Store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
store = Store(FolderBackend(Path(sys.argv[1]), ".tune"), "0")
for size in (10, 10_000, 100_000):
    record = Record("raw", {"text": "x" * size}, {}, {}, 1, str(size), Status.READY)
    try:
        print(store.save(put(store.load(), "raw.a", record), Author("ada", "test")).serial)
    except ProblemError as error:
        print(error)
"""


def test_a_file_that_really_grows_too_large_leaves_the_state_as_it_was(backend: FolderBackend) -> None:
    command = [sys.executable, "-c", SAVES_MUCH, str(backend.root)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert said[:2] == ["1", "2"]
    assert said[2].startswith("State cannot be reached: `.tune/history/00000003-")
    assert said[2].endswith("`: File too large.")
    assert Store(backend, "0").load().records["raw.a"].action_key == "10000"
    no_temporary_files(backend.root)


def test_a_place_that_is_no_folder_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / ".tune").write_text("a file")
    backend = FolderBackend(tmp_path / ".tune", ".tune")
    store = Store(backend, "0")
    actions: list[Callable[[], object]] = [
        store.load,
        lambda: store.save(State("l", 0), ADA),
        lambda: backend.size("state.json"),
        lambda: backend.delete("state.json"),
        lambda: backend.upload("a", tmp_path / ".tune", lambda _: None),
        lambda: backend.download("state.json", tmp_path / "target", lambda _: None),
        lambda: Lock(backend, this_process("apply", "")).__enter__(),
    ]
    for action in actions:
        with pytest.raises(ProblemError) as caught:
            action()
        (diagnostic,) = caught.value.diagnostics
        assert isinstance(diagnostic, Diagnostic)
        assert diagnostic.detail.startswith("`.tune/")
