"""The history: every write of the state, proved from the newest back, and nothing of it lost or changed unseen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from state.change import forget, put
from state.diagnostic import Diagnostic, Place, ProblemError
from state.folder_backend import FolderBackend
from state.history import Author, History, HistoryEntry, name_of
from state.record import EMPTY, State
from state.store import Store
from tests.state.examples import FLIPS, NEW_RUN, damage, record, tear

GOLDEN = Path(__file__).parent / "golden" / "v1-history.json"
ADA = Author("ada@gpu-host", "tune apply", "p1")
ENTRY = HistoryEntry(
    serial=2,
    when="2026-03-02T09:00:00+00:00",
    author=ADA,
    parent="1f" * 32,
    records={"train.sft": NEW_RUN, "train.old": None},
    because="größer",
)
HINT = "Restore it from version control or a backup. The state itself is whole; `tune state verify` checks all."


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(FolderBackend(tmp_path / ".tune", ".tune"), "0.1")


def written(store: Store, *keys: str) -> State:
    state = store.load()
    for key in keys:
        state = store.save(put(state, "raw.a", record(key)), ADA, f"because of {key}")
    return state


def files(store: Store) -> list[Path]:
    assert isinstance(store.backend, FolderBackend)
    return sorted(store.backend.root.glob("history/*.json"))


def planted(store: Store, serial: int, content: bytes) -> str:
    """An entry that matches its own name, whatever it says."""
    digest = hashlib.sha256(content).hexdigest()
    store.backend.put_if_absent(name_of(serial, digest), content)
    return digest


def refused(store: Store, state: State) -> Diagnostic:
    with pytest.raises(ProblemError) as caught:
        list(store.history.newest_first(state))
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_every_write_is_told_from_the_newest_back(store: Store) -> None:
    state = written(store, "a", "b", "c")
    told = list(store.history.newest_first(state))
    assert [digest for digest, _ in told] == [state.history, told[0][1].parent, told[1][1].parent]
    assert [(one.serial, one.because, one.author) for _, one in told] == [
        (3, "because of c", ADA),
        (2, "because of b", ADA),
        (1, "because of a", ADA),
    ]
    assert [one.records for _, one in told] == [{"raw.a": record(key)} for key in "cba"]
    assert told[-1][1].parent == ""


def test_before_the_first_write_there_is_no_history(store: Store) -> None:
    assert list(store.history.newest_first(EMPTY)) == []
    assert store.history.records_at(EMPTY, 0) == {}


def test_an_entry_is_named_by_its_serial_and_its_sha256(store: Store) -> None:
    state = written(store, "a", "b")
    for serial, path in enumerate(files(store), 1):
        assert path.name == f"{serial:08d}-{hashlib.sha256(path.read_bytes()).hexdigest()}.json"
    assert files(store)[-1].name == f"00000002-{state.history}.json"


def test_an_entry_is_written_as_it_always_was(store: Store) -> None:
    digest = store.history.add(ENTRY)
    (path,) = files(store)
    assert path.read_bytes() == GOLDEN.read_bytes()
    assert digest == hashlib.sha256(GOLDEN.read_bytes()).hexdigest()
    assert store.history.entry(2, digest) == ENTRY


@pytest.mark.parametrize("serial", [1, 2, 3])
def test_a_missing_entry_is_named(store: Store, serial: int) -> None:
    state = written(store, "a", "b", "c")
    path = files(store)[serial - 1]
    path.unlink()
    assert refused(store, state) == Diagnostic(
        "Damaged history",
        "The history entry cannot be trusted: it is missing.",
        HINT,
        Place(f".tune/history/{path.name}"),
    )


@pytest.mark.parametrize("serial", [1, 2, 3])
def test_an_entry_replaced_by_another_is_named(store: Store, serial: int) -> None:
    state = written(store, "a", "b", "c")
    path = files(store)[serial - 1]
    path.write_bytes(path.read_bytes().replace(b"because of", b"by mistake"))
    diagnostic = refused(store, state)
    assert diagnostic.detail == "The history entry cannot be trusted: its content does not match its own digest."
    assert diagnostic.place == Place(f".tune/history/{path.name}")
    path.write_bytes(files(store)[serial % 3].read_bytes())
    assert refused(store, state) == diagnostic


@pytest.mark.parametrize("mask", FLIPS)
def test_no_flipped_byte_is_read(store: Store, mask: int) -> None:
    state = written(store, "a")
    (path,) = files(store)
    for _ in damage(path, mask):
        assert refused(store, state).place == Place(f".tune/history/{path.name}")
    assert len(list(store.history.newest_first(state))) == 1


def test_no_torn_entry_is_read(store: Store) -> None:
    state = written(store, "a")
    (path,) = files(store)
    for _ in tear(path):
        assert refused(store, state).place == Place(f".tune/history/{path.name}")


def test_an_entry_of_another_serial_is_no_entry_of_this_one(store: Store) -> None:
    written(store, "a")
    digest = planted(store, 7, files(store)[0].read_bytes())
    with pytest.raises(ProblemError, match="it says that it is of serial 1"):
        store.history.entry(7, digest)


@pytest.mark.parametrize(
    "changes",
    [{"surprise": 1}, {"serial": "first"}, {"author": None}, {"records": {"raw.a": 7}}, {"records": {"raw.a": {}}}],
)
def test_an_entry_of_another_shape_is_a_problem_even_if_its_digest_is_right(store: Store, changes: object) -> None:
    written(store, "a")
    assert isinstance(changes, dict)
    content = json.dumps(json.loads(files(store)[0].read_bytes()) | changes).encode()
    with pytest.raises(ProblemError, match="it does not have the shape of tune-history/1"):
        store.history.entry(1, planted(store, 1, content))


@pytest.mark.parametrize("content", [b"", b"7", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_an_entry_that_is_none_is_a_problem_even_if_its_digest_is_right(store: Store, content: bytes) -> None:
    with pytest.raises(ProblemError, match="it does not have the shape of tune-history/1"):
        store.history.entry(1, planted(store, 1, content))


def test_an_entry_of_a_newer_format_is_refused_by_its_format(store: Store) -> None:
    content = b'{"format": "tune-history/2", "surprise": []}'
    digest = planted(store, 1, content)
    with pytest.raises(ProblemError) as caught:
        store.history.entry(1, digest)
    assert caught.value.diagnostics == (
        Diagnostic(
            "History from a newer tune",
            "The entry has the format tune-history/2; this tune reads tune-history/1.",
            "Upgrade tune.",
            Place(f".tune/history/00000001-{digest}.json"),
        ),
    )


def test_a_history_that_ends_before_the_first_write_is_damaged(store: Store) -> None:
    state = written(store, "a", "b")
    content = files(store)[1].read_bytes().replace(files(store)[0].name[9:73].encode(), b"")
    cut = evolve(state, history=planted(store, 2, content))
    assert refused(store, cut) == Diagnostic(
        "Damaged history",
        "The history entry cannot be trusted: the entry after it, or the state, names none before.",
        HINT,
        Place(".tune/history/00000001-*.json"),
    )
    assert refused(store, evolve(state, history="")).place == Place(".tune/history/00000002-*.json")


ADDRESSES = st.sampled_from(["raw.a", "raw.b", "raw.c"])
STEPS = st.lists(st.tuples(ADDRESSES, st.sampled_from(["", "1", "2", "3"])), max_size=3)


def after(state: State, steps: list[tuple[str, str]]) -> State:
    """Each step puts a record, or forgets the one that is there."""
    for address, key in steps:
        if key:
            state = put(state, address, record(f"{address}-{key}", artifact="x"))
        elif address in state.records:
            state = forget(state, address)
    return state


@settings(max_examples=12)
@given(st.lists(STEPS, max_size=6))
def test_the_records_of_any_serial_are_those_that_the_store_held(
    tmp_path_factory: pytest.TempPathFactory, writes: list[list[tuple[str, str]]]
) -> None:
    backend = FolderBackend(tmp_path_factory.mktemp("history"), ".tune")
    store = Store(backend, "0")
    saved = [store.load(), *(store.save(after(store.load(), steps), ADA) for steps in writes)]
    held = [dict(state.records) for state in saved]
    state = Store(backend, "0").load()
    assert [History(backend).records_at(state, serial) for serial in range(len(held))] == held


@pytest.mark.parametrize("serial", [-1, 3])
def test_a_serial_that_there_never_was_is_a_problem(store: Store, serial: int) -> None:
    state = written(store, "a", "b")
    with pytest.raises(ProblemError) as caught:
        store.history.records_at(state, serial)
    assert caught.value.diagnostics == (
        Diagnostic(
            "Unknown serial", f"There is no serial {serial}: the state is at 2.", "`tune state log` lists them."
        ),
    )


def test_what_killed_writers_left_behind_does_no_harm(store: Store) -> None:
    state = written(store, "a")
    store.history.add(HistoryEntry(2, "2026", ADA, state.history, {"raw.a": record("lost")}))
    store.history.add(HistoryEntry(3, "2026", ADA, "2f" * 32, {"raw.b": record("lost")}))
    state = written(Store(store.backend, "0.1"), "b", "c")
    assert [one.because for _, one in store.history.newest_first(state)] == [f"because of {key}" for key in "cba"]
    assert store.history.records_at(state, 2) == {"raw.a": record("b")}
    assert len(files(store)) == 5


def test_the_same_entry_twice_is_one(store: Store) -> None:
    assert store.history.add(ENTRY) == store.history.add(ENTRY)
    assert len(files(store)) == 1


def test_a_damaged_file_at_the_place_of_a_new_entry_is_not_replaced(store: Store) -> None:
    store.history.add(ENTRY)
    (path,) = files(store)
    path.write_bytes(b"{")
    with pytest.raises(ProblemError, match="it holds something else than its name says"):
        store.history.add(ENTRY)
    assert path.read_bytes() == b"{"
