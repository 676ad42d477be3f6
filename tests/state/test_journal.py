"""The journal: what was being done is known after a crash, and telling it twice makes no difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from state.canonical import digest
from state.change import put
from state.diagnostic import Diagnostic, Place, ProblemError
from state.folder_backend import FolderBackend
from state.journal import Begun, Checkpointed, Ended, Entry, Journal, fold
from state.plain import as_line
from state.record import EMPTY, Checkpoint, Record, State, Status, Superseded
from tests.state.examples import FLIPS, OLD_RUN, damage, tear

GOLDEN = Path(__file__).parent / "golden" / "v1-journal.json"
STATE = State("lineage", 7)


def record(key: str, *, made: bool = False, name: str = "") -> Record:
    artifact = f"artifacts/thing/{key}" if made else ""
    return Record("thing", {"name": name}, {}, {}, 1, key, Status.READY, output_digest=artifact, artifact=artifact)


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, f"checkpoint-{step}", str(step))


ENTRIES: list[Entry] = [
    Begun("thing.a", record("k1", name="grün \udcff")),
    Checkpointed("thing.a", (checkpoint(1),)),
    Checkpointed("thing.a", (checkpoint(1), checkpoint(2))),
    Ended("thing.a", record("k1", made=True)),
]


@pytest.fixture
def backend(tmp_path: Path) -> FolderBackend:
    return FolderBackend(tmp_path / ".tune", ".tune")


@pytest.fixture
def file(backend: FolderBackend) -> Path:
    return backend.root / "journal.json"


@pytest.fixture
def journal(backend: FolderBackend) -> Journal:
    journal = Journal(backend)
    for entry in ENTRIES:
        journal.append(entry, STATE)
    return journal


def refused(backend: FolderBackend) -> Diagnostic:
    with pytest.raises(ProblemError) as caught:
        Journal(backend).read(STATE)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.place == Place(".tune/journal.json")
    return diagnostic


DAMAGED = Diagnostic(
    "Damaged journal",
    "Its content does not match its own digest: it was edited or damaged.",
    "Remove it to give up the work in progress that it describes; finished work is in the state.",
    Place(".tune/journal.json"),
)


def test_what_is_appended_is_read_in_the_same_order(journal: Journal, backend: FolderBackend) -> None:
    assert journal.read(STATE) == tuple(ENTRIES)
    assert Journal(backend).read(STATE) == tuple(ENTRIES)


def test_a_journal_that_was_never_written_is_empty(backend: FolderBackend) -> None:
    assert Journal(backend).read(STATE) == ()
    assert not backend.root.exists()


def test_a_journal_is_written_as_it_always_was(backend: FolderBackend, file: Path) -> None:
    journal = Journal(backend)
    for entry in [*ENTRIES, Begun("train.sft", OLD_RUN)]:
        journal.append(entry, STATE)
    assert file.read_bytes() == GOLDEN.read_bytes()


@pytest.mark.usefixtures("journal")
def test_a_journal_torn_anywhere_is_refused(backend: FolderBackend, file: Path) -> None:
    for _ in tear(file):
        assert refused(backend) == DAMAGED


@pytest.mark.parametrize("mask", FLIPS)
def test_no_flipped_byte_is_read(backend: FolderBackend, file: Path, mask: int) -> None:
    Journal(backend).append(Begun("thing.a", evolve(record("k1"), metrics={"loss": 1e-7})), STATE)
    for _ in damage(file, mask):
        assert refused(backend).summary in ("Damaged journal", "Journal from a newer tune")
    assert len(Journal(backend).read(STATE)) == 1


@pytest.mark.usefixtures("journal")
def test_what_only_means_the_same_was_edited(backend: FolderBackend, file: Path) -> None:
    content = file.read_bytes()
    for edited in (content + b"\n", content.replace(b":7}", b": 7}"), json.dumps(json.loads(content)).encode()):
        assert edited != content
        file.write_bytes(edited)
        assert refused(backend) == DAMAGED


def signed(**changes: Any) -> bytes:
    """A journal that matches its own digest, whatever it says."""
    body = {"format": "tune-journal/1", "lineage": "lineage", "serial": 7, "entries": [], **changes}
    return as_line({**body, "digest": digest(body)}) + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b"[]", b'"x"', b"7", b"null", b"\xff\xfe", b"[" * 100_000),
        *(b'{"format": "tune-journal/1"}', b'{"format": "tune-journal/1", "entries": NaN, "digest": ""}'),
        signed(entries=7),
        signed(entries=["a text"]),
        signed(entries=[[]]),
        signed(entries=[{"entry": "surprise"}]),
        signed(entries=[{"entry": "checkpoint", "address": "thing.a"}]),
        signed(entries=[{"entry": "checkpoint", "address": "thing.a", "kept": [], "surprise": 1}]),
        signed(entries=[{"entry": "checkpoint", "address": "thing.a", "kept": 7}]),
    ],
)
def test_what_is_no_journal_is_a_problem_that_names_it(backend: FolderBackend, file: Path, content: bytes) -> None:
    backend.put_if_absent(file.name, content)
    assert refused(backend) == DAMAGED


def test_a_journal_of_a_newer_format_is_refused_by_its_format(backend: FolderBackend, file: Path) -> None:
    backend.put_if_absent(file.name, b'{"format": "tune-journal/2", "surprise": []}')
    assert refused(backend) == Diagnostic(
        "Journal from a newer tune",
        "`.tune/journal.json` has the format tune-journal/2; this tune reads tune-journal/1.",
        "Upgrade tune.",
        Place(".tune/journal.json"),
    )


@pytest.mark.parametrize("other", [State("lineage", 8), State("lineage", 6), State("another", 7), EMPTY])
def test_entries_count_for_the_state_that_they_were_written_on_top_of(journal: Journal, other: State) -> None:
    assert journal.read(other) == ()
    assert Journal(journal.backend).read(other) == ()
    journal.append(ENTRIES[0], other)
    assert journal.read(other) == (ENTRIES[0],)
    assert journal.read(STATE) == ()


MOVED = (
    Diagnostic(
        "Journal has moved",
        "Another process has written it while this one worked: this one stops without writing.",
        "Run `tune plan` again.",
        Place(".tune/journal.json"),
    ),
)


def test_who_has_lost_their_place_can_append_nothing_any_more(journal: Journal, backend: FolderBackend) -> None:
    other = Journal(backend)
    other.read(STATE)
    other.append(ENTRIES[0], STATE)
    for _ in range(2):
        with pytest.raises(ProblemError) as caught:
            journal.append(ENTRIES[1], STATE)
        assert caught.value.diagnostics == MOVED
    assert Journal(backend).read(STATE) == (*ENTRIES, ENTRIES[0])


def test_who_never_read_the_journal_cannot_write_over_it(journal: Journal, backend: FolderBackend) -> None:
    with pytest.raises(ProblemError, match="Journal has moved"):
        Journal(backend).append(ENTRIES[0], STATE)
    assert journal.read(STATE) == tuple(ENTRIES)


def test_a_journal_that_was_removed_is_not_written_again(journal: Journal, file: Path) -> None:
    file.unlink()
    with pytest.raises(ProblemError, match="Journal has moved"):
        journal.append(ENTRIES[0], STATE)
    assert not file.exists()


def test_a_claimed_journal_is_empty_and_whoever_wrote_it_has_lost_their_place(
    journal: Journal, backend: FolderBackend
) -> None:
    other = Journal(backend)
    other.read(STATE)
    other.claim(STATE)
    with pytest.raises(ProblemError, match="Journal has moved"):
        journal.append(ENTRIES[0], STATE)
    assert other.read(STATE) == ()
    other.append(ENTRIES[0], STATE)
    assert Journal(backend).read(STATE) == (ENTRIES[0],)


def test_folding_keeps_the_checkpoints_until_the_end_is_told() -> None:
    begun = fold(EMPTY, ENTRIES[:3]).records["thing.a"]
    assert begun.checkpoints == (checkpoint(1), checkpoint(2))
    assert fold(EMPTY, ENTRIES).records == {"thing.a": record("k1", made=True)}


def test_what_a_folded_entry_replaces_is_remembered() -> None:
    before = record("k0", made=True)
    state = State("l", 1, {"thing.a": before})
    assert fold(state, ENTRIES).superseded == {"k0": Superseded("thing.a", before)}


ADDRESSES = ["thing.a", "thing.b", "thing.c"]
NUMBERS = st.integers(0, 2)
CHECKPOINTS = st.lists(st.integers(1, 3).map(checkpoint), max_size=2).map(tuple)


def key_of(address: str, number: int) -> str:
    """No two addresses work under one key: the second would adopt what the first made."""
    return f"{address}-{number}"


@st.composite
def states(draw: st.DrawFn) -> State:
    state = State("l", 1)
    for address in draw(st.lists(st.sampled_from(ADDRESSES))):
        state = put(state, address, record(key_of(address, draw(NUMBERS)), made=draw(st.booleans())))
    return state


@st.composite
def works(draw: st.DrawFn, address: str) -> list[Entry]:
    """All that an apply may tell of one resource: it works on each once, and nothing is made before the end."""
    key = key_of(address, draw(NUMBERS))
    entries: list[Entry] = [Begun(address, record(key))]
    entries += [Checkpointed(address, kept) for kept in draw(st.lists(CHECKPOINTS, max_size=2))]
    return [*entries, *([Ended(address, record(key, made=True))] if draw(st.booleans()) else [])]


@st.composite
def journals(draw: st.DrawFn) -> list[Entry]:
    addresses = draw(st.lists(st.sampled_from(ADDRESSES), unique=True))
    return [entry for address in addresses for entry in draw(works(address))]


@given(states(), journals())
def test_folding_twice_changes_nothing(state: State, entries: list[Entry]) -> None:
    once = fold(state, entries)
    assert fold(once, entries) == once


@given(states(), journals())
def test_folding_forgets_nothing_but_what_is_made_again(state: State, entries: list[Entry]) -> None:
    again = {(entry.address, entry.record.action_key) for entry in entries if isinstance(entry, Begun)}
    made = {
        one.action_key for place, one in state.records.items() if one.artifact and (place, one.action_key) not in again
    }
    after = fold(state, entries)
    kept = {one.action_key for one in after.records.values() if one.artifact} | after.superseded.keys()
    assert made <= kept


@settings(max_examples=20)
@given(journals())
def test_entries_survive_the_file(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:
    backend = FolderBackend(tmp_path_factory.mktemp("journal"), ".tune")
    journal = Journal(backend)
    for entry in entries:
        journal.append(entry, STATE)
    assert Journal(backend).read(STATE) == tuple(entries)
