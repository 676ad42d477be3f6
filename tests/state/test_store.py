"""The state file on disk: nothing is lost between two writers, and no instant shows half a state."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from state.change import put, with_history
from state.diagnostic import Diagnostic, Place, ProblemError
from state.layout import Layout
from state.record import EMPTY, Record, State, Status
from state.store import Store

SAVES_IN_A_LOOP = """
import sys
from pathlib import Path
from attrs import evolve
from state.layout import Layout
from state.record import Record, Status
from state.store import Store

store = Store(Layout(Path(sys.argv[1])), "0")
while True:
    state = store.load()
    record = Record("raw", {"text": "x" * 20_000}, {}, {}, 1, str(state.serial), Status.READY)
    store.save(evolve(state, lineage="l", records={"raw.a": record}))
    print(state.serial + 1, flush=True)
"""


def record(key: str) -> Record:
    return Record("raw", {"source": key}, {}, {}, 1, key, Status.READY, output_digest=key)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Layout(tmp_path), "0.1")


def saved(store: Store, *keys: str) -> State:
    state = evolve(EMPTY, lineage="l")
    for key in keys:
        state = store.save(put(state, "raw.a", record(key)))
    return state


def test_before_the_first_save_there_is_the_empty_state(store: Store) -> None:
    assert store.load() == EMPTY


def test_what_is_saved_is_loaded(store: Store) -> None:
    state = saved(store, "a")
    assert state.records == {"raw.a": record("a")}
    assert store.load() == state


def test_the_serial_grows_and_every_state_names_the_one_before(store: Store) -> None:
    states = [saved(store, "a")]
    for key in ("b", "c"):
        states.append(store.save(put(states[-1], "raw.a", record(key))))
    assert [one.serial for one in states] == [1, 2, 3]
    assert [one.parent_digest for one in states] == ["", states[0].digest, states[1].digest]
    assert len({one.digest for one in states}) == 3
    assert {one.lineage for one in states} == {"l"}


def test_of_two_writers_from_one_snapshot_the_second_is_refused_and_nothing_is_lost(store: Store) -> None:
    snapshot = saved(store, "a")
    first = store.save(put(snapshot, "raw.a", record("first")))
    with pytest.raises(ProblemError) as caught:
        store.save(put(snapshot, "raw.a", record("second")))
    assert caught.value.diagnostics == (
        Diagnostic(
            "State has moved",
            "Serial 2 was written by another process while this one worked from 1.",
            "What this command made is kept on disk; run `tune plan` again.",
            Place(".tune/state.json"),
        ),
    )
    assert store.load() == first
    assert store.save(put(first, "raw.a", record("second"))).serial == 3


def test_two_first_writers_do_not_overwrite_each_other(store: Store) -> None:
    first = saved(store, "a")
    with pytest.raises(ProblemError, match="Serial 1 was written by another process while this one worked from 0"):
        store.save(evolve(EMPTY, lineage="other"))
    assert store.load() == first


def test_a_state_file_that_was_removed_is_not_written_over_as_if_it_were_there(store: Store) -> None:
    state = saved(store, "a")
    store.layout.state_file.unlink()
    with pytest.raises(ProblemError, match="State has moved"):
        store.save(state)
    assert not store.layout.state_file.exists()


def test_a_damaged_state_is_never_replaced(store: Store) -> None:
    state = saved(store, "a")
    store.layout.state_file.write_bytes(b"{")
    with pytest.raises(ProblemError, match="Damaged state"):
        store.save(state)
    assert store.layout.state_file.read_bytes() == b"{"


def test_history_is_a_chain_from_which_no_entry_can_be_taken_unseen(store: Store) -> None:
    state = evolve(EMPTY, lineage="l")
    for number in (1, 2, 3):
        state = store.save(with_history(state, f"day {number}", "ada", "plan", ("raw.a",)))
    assert [one.serial for one in state.history] == [1, 2, 3]
    assert state.history[0].parent == ""
    assert len({one.parent for one in state.history}) == 3


def test_saving_leaves_no_temporary_files(store: Store) -> None:
    saved(store, *"abcdefgh")
    assert sorted(path.name for path in store.layout.root.iterdir()) == [".gitignore", "guard", "state.json"]


def test_git_sees_the_state_and_nothing_else(store: Store) -> None:
    saved(store, "a")
    assert (store.layout.root / ".gitignore").read_text().splitlines()[1:] == ["*", "!.gitignore", "!state.json"]


def test_a_kill_at_any_instant_leaves_the_last_state_or_the_next_one(store: Store) -> None:
    instants = random.Random(7)  # noqa: S311  nothing secret
    written = 0
    for _ in range(20):
        command = [sys.executable, "-c", SAVES_IN_A_LOOP, str(store.layout.recipe_folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(instants.randrange(1, 6)):
                written = int(process.stdout.readline())
            try:
                process.wait(instants.uniform(0, 0.004))
            except subprocess.TimeoutExpired:
                process.kill()
            confirmed = [int(line) for line in process.stdout.read().split()]
        written = confirmed[-1] if confirmed else written
        state = store.load()
        assert state.serial in (written, written + 1)
        assert len(str(state.records["raw.a"].settings["text"])) == 20_000
    assert written > 20
