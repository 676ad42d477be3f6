"""The state file on disk: nothing is lost between two writers, and no instant shows half a state."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from state.artifacts import publish
from state.change import forget, put
from state.diagnostic import Diagnostic, Place, ProblemError
from state.folder_backend import FolderBackend
from state.format import write
from state.history import Author
from state.journal import Begun, Journal
from state.layout import Layout
from state.lock import Lock
from state.owner import this_process
from state.record import EMPTY, State, Superseded
from state.store import Store
from tests.processes import running
from tests.state.examples import record

ADA = Author("ada@gpu-host", "test", "plan")

SAVES_IN_A_LOOP = """
import sys
from pathlib import Path
from state.change import put
from state.folder_backend import FolderBackend
from state.history import Author
from state.record import Record, Status
from state.store import Store

store = Store(FolderBackend(Path(sys.argv[1]), ".tune"), "0")
while True:
    state = store.load()
    record = Record("raw", {"text": "x" * 20_000}, {}, {}, 1, str(state.serial), Status.READY)
    store.save(put(state, "raw.a", record), Author("ada", "test"))
    print(state.serial + 1, flush=True)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".tune"


@pytest.fixture
def store(root: Path) -> Store:
    return Store(FolderBackend(root, ".tune"), "0.1")


def saved(store: Store, *keys: str) -> State:
    state = store.load()
    for key in keys:
        state = store.save(put(state, "raw.a", record(key)), ADA)
    return state


def test_before_the_first_save_there_is_the_empty_state(store: Store, root: Path) -> None:
    assert store.load() == EMPTY
    assert not root.exists()


def test_what_is_saved_is_loaded(store: Store) -> None:
    state = saved(store, "a")
    assert state.records == {"raw.a": record("a")}
    assert store.load() == state
    assert Store(store.backend, "0.1").load() == state


def test_the_serial_grows_and_every_state_names_the_one_before(store: Store) -> None:
    states = [saved(store, key) for key in "abc"]
    assert [one.serial for one in states] == [1, 2, 3]
    assert [one.parent_digest for one in states] == ["", states[0].digest, states[1].digest]
    assert len({one.digest for one in states}) == 3
    assert len({one.lineage for one in states}) == 1
    assert len(states[0].lineage) == 32


def test_a_lineage_that_was_given_is_kept(store: Store) -> None:
    assert store.save(evolve(EMPTY, lineage="l"), ADA).lineage == "l"
    assert saved(store, "a").lineage == "l"


def test_what_is_replaced_or_forgotten_is_remembered_as_long_as_it_lies_on_disk(store: Store) -> None:
    made = record("old", artifact="artifacts/raw/a/old")
    state = store.save(put(EMPTY, "raw.a", made), ADA)
    state = store.save(put(state, "raw.a", record("new")), ADA)
    assert Store(store.backend, "0").load().superseded == {"old": Superseded("raw.a", made)}
    state = store.save(forget(put(state, "raw.a", made), "raw.a"), ADA)
    assert not state.records
    assert state.superseded == {"old": Superseded("raw.a", made)}


def moved(serial: int) -> tuple[Diagnostic, ...]:
    return (
        Diagnostic(
            "State has moved",
            f"Another process wrote it while this one worked from serial {serial}.",
            "What this command made is kept on disk; run `tune plan` again.",
            Place(".tune/state.json"),
        ),
    )


def test_of_two_writers_from_one_snapshot_the_second_is_refused_and_nothing_is_lost(store: Store) -> None:
    other = Store(store.backend, "0.1")
    snapshot = saved(store, "a")
    assert other.load() == snapshot
    first = store.save(put(snapshot, "raw.a", record("first")), ADA)
    for late in (store, other):
        with pytest.raises(ProblemError) as caught:
            late.save(put(snapshot, "raw.a", record("second")), ADA)
        assert caught.value.diagnostics == moved(1)
        assert late.load() == first
    assert other.save(put(first, "raw.a", record("second")), ADA).serial == 3


def test_two_first_writers_do_not_overwrite_each_other(store: Store) -> None:
    other = Store(store.backend, "0.1")
    first = saved(store, "a")
    with pytest.raises(ProblemError) as caught:
        other.save(evolve(EMPTY, lineage="other"), ADA)
    assert caught.value.diagnostics == moved(0)
    assert store.load() == other.load() == first


def test_a_state_file_that_was_removed_is_not_written_over_as_if_it_were_there(store: Store, root: Path) -> None:
    state = saved(store, "a")
    (root / "state.json").unlink()
    with pytest.raises(ProblemError, match="State has moved"):
        store.save(state, ADA)
    assert not (root / "state.json").exists()
    assert store.load() == EMPTY


def test_a_damaged_state_is_never_replaced(store: Store, root: Path) -> None:
    state = saved(store, "a")
    (root / "state.json").write_bytes(b"{")
    with pytest.raises(ProblemError, match="State has moved"):
        store.save(state, ADA)
    for damaged in (store, Store(store.backend, "0.1")):
        with pytest.raises(ProblemError, match="Damaged state"):
            damaged.load()
        with pytest.raises(ProblemError, match=r"moved|Damaged"):
            damaged.save(state, ADA)
    assert (root / "state.json").read_bytes() == b"{"


def test_a_state_from_elsewhere_takes_the_place_of_what_was_read_and_of_nothing_else(store: Store, root: Path) -> None:
    content, pushed = write(State("l", 7, {"raw.b": record("b")}, history="1f" * 32), "0")
    late = Store(store.backend, "0")
    late.load()
    saved(store, "a", "b")
    with pytest.raises(ProblemError) as caught:
        late.replace(content, pushed)
    assert caught.value.diagnostics == moved(0)
    assert store.replace(content, pushed) == pushed
    assert (root / "state.json").read_bytes() == content
    assert late.load() == pushed


def test_saving_leaves_no_temporary_files(store: Store, root: Path) -> None:
    saved(store, *"abcdefgh")
    assert sorted(path.name for path in root.iterdir()) == ["guard", "history", "state.json"]
    assert len(list((root / "history").iterdir())) == 8
    assert all(path.name.endswith(".json") for path in (root / "history").iterdir())


def test_git_sees_the_state_and_its_history_and_nothing_else(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()
    store = Store(FolderBackend(layout.root, ".tune"), "0.1")
    with Lock(store.backend, this_process("test", "")):
        state = saved(store, "a")
        Journal(store.backend).append(Begun("raw.b", record("b")), state)
    (tmp_path / "recipe.toml").write_text("")
    artifact = layout.artifact("raw", "a", "k1")
    artifact.mkdir(parents=True)
    (artifact / "config.json").write_text("{}")
    publish(artifact, {})
    (layout.root / "history" / ".0001.json.7-7.tmp").write_text("left by a killed writer")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)  # noqa: S607  as people call it
    command = ["git", "-C", str(tmp_path), "status", "--porcelain", "-uall"]
    seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert sorted(seen.split("\n")) == [
        "",
        "?? .tune/.gitignore",
        f"?? .tune/history/00000001-{state.history}.json",
        "?? .tune/state.json",
        "?? recipe.toml",
    ]


@pytest.mark.processes
def test_a_kill_at_any_instant_leaves_the_last_state_or_the_next_one(store: Store, root: Path) -> None:
    instants = random.Random(7)  # noqa: S311  nothing secret
    written = 0
    for _ in range(12):
        command = [sys.executable, "-c", SAVES_IN_A_LOOP, str(root)]
        with running(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(instants.randrange(1, 4)):
                written = int(process.stdout.readline())
            try:
                process.wait(instants.uniform(0, 0.02))
            except subprocess.TimeoutExpired:
                process.kill()
            confirmed = [int(line) for line in process.stdout.read().split()]
        written = confirmed[-1] if confirmed else written
        state = store.load()
        assert state.serial in (written, written + 1)
        assert len(str(state.records["raw.a"].settings["text"])) == 20_000
        assert len(list(store.history.newest_first(state))) == state.serial
    assert written > 12
