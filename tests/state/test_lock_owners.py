"""Whether the owner of a lock is dead: proved on its own host, and by silence on another, whatever the clocks say."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import evolve, frozen

from state import lock as lock_module
from state import owner as owner_module
from state.backend import Stored
from state.diagnostic import ProblemError
from state.folder_backend import FolderBackend
from state.lock import CONFIRM_SECONDS, EXPIRY_SECONDS, HEARTBEAT_SECONDS, Lock, is_dead, read_owner
from state.owner import Owner, this_process
from tests.state.lock_holders import held_elsewhere, left_behind


@pytest.fixture
def backend(tmp_path: Path) -> FolderBackend:
    return FolderBackend(tmp_path / ".tune", ".tune")


def patience(monkeypatch: pytest.MonkeyPatch, confirm: float, expiry: float) -> None:
    monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", confirm)
    monkeypatch.setattr(lock_module, "EXPIRY_SECONDS", expiry)


@pytest.mark.parametrize("changes", [{"process_start": "1"}, {"boot": "another"}], ids=["reused pid", "other boot"])
def test_a_process_number_that_means_another_process_is_dead(backend: FolderBackend, changes: dict[str, str]) -> None:
    owner = left_behind(backend, **changes)
    assert is_dead(owner)
    with Lock(backend, this_process("apply", "")) as lock:
        assert lock.taken_from == owner


def test_this_process_is_alive_however_old_its_heartbeat_is() -> None:
    assert not is_dead(evolve(this_process("apply", ""), heartbeat=0.0))


def test_a_process_that_the_host_hides_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = this_process("apply", "")
    monkeypatch.setattr(owner_module, "Path", lambda path: Path("/nowhere") / path.removeprefix("/proc/"))
    hidden = evolve(owner, boot="", namespace="")
    assert not is_dead(hidden)
    assert is_dead(evolve(hidden, pid=2**30))
    assert is_dead(evolve(hidden, pid=2**70))


def test_a_container_that_shares_the_name_of_its_host_is_another_host(backend: FolderBackend) -> None:
    owner = left_behind(backend, namespace="pid:[7]", pid=2**30)
    assert not is_dead(owner)
    assert is_dead(evolve(owner, heartbeat=time.time() - EXPIRY_SECONDS - 1))
    with pytest.raises(ProblemError, match="Another apply is running"), Lock(backend, this_process("apply", "")):
        pass


def test_several_heartbeats_may_be_missed_before_an_owner_counts_as_dead() -> None:
    assert EXPIRY_SECONDS >= 5 * HEARTBEAT_SECONDS
    assert CONFIRM_SECONDS >= 2 * HEARTBEAT_SECONDS


def elsewhere(backend: FolderBackend, silence: float) -> Owner:
    return left_behind(backend, host="elsewhere", pid=1, boot="another", heartbeat=time.time() - silence)


@pytest.mark.parametrize("silence", [-86400.0, 0.0, EXPIRY_SECONDS - 30])
def test_on_another_host_an_owner_who_was_heard_of_lately_lives(backend: FolderBackend, silence: float) -> None:
    owner = elsewhere(backend, silence)
    assert not is_dead(owner)
    with pytest.raises(ProblemError, match="@elsewhere"), Lock(backend, this_process("apply", "")):
        pass
    assert read_owner(backend) == owner


def test_on_another_host_an_owner_who_was_silent_for_long_is_watched_and_then_dead(
    backend: FolderBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, confirm=0.3, expiry=60.0)
    owner = elsewhere(backend, 61.0)
    assert is_dead(owner)
    told: list[Owner] = []
    before = time.monotonic()
    with Lock(backend, this_process("apply", ""), waiting=told.append) as lock:
        assert lock.taken_from == owner
    assert time.monotonic() - before >= 0.3
    assert told == [owner]


@frozen
class Slow(FolderBackend):
    """A place whose answers take time, as a network's do."""

    def get(self, name: str) -> Stored | None:
        time.sleep(0.05)
        return super().get(name)


def test_the_watch_over_a_dead_owner_ends_well_however_slow_the_answers_are(
    backend: FolderBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, confirm=0.12, expiry=60.0)
    for _ in range(3):
        owner = elsewhere(backend, 61.0)
        with Lock(Slow(backend.root, ".tune"), this_process("apply", "")) as lock:
            assert lock.taken_from == owner


def test_an_owner_whose_clock_is_ahead_is_dead_when_nothing_was_heard_for_long_enough(
    backend: FolderBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, confirm=0.1, expiry=0.5)
    owner = elsewhere(backend, -86400.0)
    with pytest.raises(ProblemError, match="@elsewhere"), Lock(backend, this_process("apply", ""), timeout=0.2):
        pass
    with Lock(backend, this_process("apply", ""), timeout=60.0) as lock:
        assert lock.taken_from == owner


@pytest.mark.slow
def test_an_owner_who_renews_lives_whatever_the_clocks_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, confirm=1.2, expiry=1.5)

    def contend(ahead: float) -> str:
        backend = FolderBackend(tmp_path / str(ahead), ".tune")
        with held_elsewhere(backend, "elsewhere", ahead, heartbeat=0.05) as process:
            with pytest.raises(ProblemError) as caught, Lock(backend, this_process("apply", ""), timeout=2.0):
                pass
            process.communicate()
            assert process.returncode == 0
        return caught.value.diagnostics[0].summary

    with ThreadPoolExecutor() as pool:
        assert set(pool.map(contend, [-86400.0, 86400.0])) == {"Another apply is running"}


def test_a_clock_that_is_behind_does_not_make_us_wait_for_ever(
    backend: FolderBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, confirm=1.2, expiry=60.0)
    with (
        held_elsewhere(backend, "elsewhere", -86400.0, heartbeat=0.05),
        pytest.raises(ProblemError, match="Another apply is running"),
        Lock(backend, this_process("apply", ""), timeout=0.0),
    ):
        pass
