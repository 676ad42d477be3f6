"""The journal: what was being done is known after a crash, and telling it twice makes no difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.canonical import digest
from state.change import put
from state.diagnostic import Diagnostic, Place, ProblemError
from state.journal import Begun, Checkpointed, Ended, Entry, Journal, fold
from state.layout import Layout
from state.record import EMPTY, Checkpoint, Record, State, Status, Superseded


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
def journal(tmp_path: Path) -> Journal:
    journal = Journal(Layout(tmp_path))
    for entry in ENTRIES:
        journal.append(entry)
    return journal


def test_what_is_appended_is_read_in_the_same_order(journal: Journal) -> None:
    assert journal.read() == tuple(ENTRIES)


def test_a_journal_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert Journal(Layout(tmp_path)).read() == ()


def test_wherever_the_last_line_is_torn_the_lines_before_it_hold(journal: Journal) -> None:
    content = journal.layout.journal.read_bytes()
    start = content.rindex(b"\n", 0, -1) + 1
    for length in range(start, len(content)):
        journal.layout.journal.write_bytes(content[:length])
        assert journal.read() == tuple(ENTRIES[:-1])


def other_key(line: bytes) -> bytes:
    return line.replace(b"checkpoint-1", b"checkpoint-7")


def signed(body: Any) -> bytes:
    return json.dumps({"digest": digest(body), "body": body}).encode()


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{}",
        b"[]",
        b'"x"',
        b"7",
        b"\xff\xfe",
        b'{"digest": "", "body": NaN}',
        signed("a text"),
        signed([]),
        signed({"entry": "surprise"}),
        signed({"entry": "checkpoint", "address": "thing.a"}),
        signed({"entry": "checkpoint", "address": "thing.a", "kept": [], "surprise": 1}),
        signed({"entry": "checkpoint", "address": "thing.a", "kept": 7}),
    ],
)
def test_a_damaged_line_before_the_last_is_a_problem_at_that_line(journal: Journal, damaged: bytes) -> None:
    lines = journal.layout.journal.read_bytes().split(b"\n")
    lines[1] = damaged
    journal.layout.journal.write_bytes(b"\n".join(lines))
    with pytest.raises(ProblemError) as caught:
        journal.read()
    assert caught.value.diagnostics == (
        Diagnostic(
            "Damaged journal",
            "This entry does not match its own digest: the file was edited or damaged.",
            "Remove the file to give up the work in progress that it describes; finished work is in the state.",
            Place(".tune/journal.jsonl", 2),
        ),
    )


def test_an_edited_entry_is_damaged(journal: Journal) -> None:
    content = journal.layout.journal.read_bytes()
    journal.layout.journal.write_bytes(content.replace(b"checkpoint-2", b"checkpoint-9"))
    with pytest.raises(ProblemError) as caught:
        journal.read()
    assert caught.value.diagnostics[0].place == Place(".tune/journal.jsonl", 3)


def test_a_cleared_journal_is_empty_and_can_be_used_again(journal: Journal) -> None:
    journal.clear()
    assert journal.read() == ()
    journal.append(ENTRIES[0])
    assert journal.read() == (ENTRIES[0],)


def test_clearing_gets_rid_of_a_torn_line(journal: Journal) -> None:
    journal.layout.journal.write_bytes(b'{"digest": ')
    journal.clear()
    journal.append(ENTRIES[0])
    assert journal.read() == (ENTRIES[0],)


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


@settings(max_examples=30, deadline=None)
@given(journals())
def test_entries_survive_the_file(tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:
    journal = Journal(Layout(tmp_path_factory.mktemp("journal")))
    for entry in entries:
        journal.append(entry)
    assert journal.read() == tuple(entries)
