"""The state file: what is written is read back, and whatever cannot be trusted is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from state.canonical import digest
from state.diagnostic import Diagnostic, Place, ProblemError
from state.format import history_digest, read, write
from state.record import (
    Checkpoint,
    HistoryEntry,
    InputRecord,
    Provenance,
    Record,
    State,
    Status,
    Superseded,
)

GOLDEN = Path(__file__).parent / "golden" / "v1-simple.json"

FIRST = HistoryEntry(1, "2026-03-01T10:00:00Z", "ada", "p1", ("dataset.support",), "")
DATA = Record(
    kind="dataset",
    settings={"source": "data/support.jsonl", "type": "chat_template"},
    content={"data/support.jsonl": "6f3c"},
    inputs={},
    code=1,
    action_key="d1",
    status=Status.READY,
    output_digest="e5a1",
    facts={"rows": 1200},
)
OLD_RUN = Record(
    kind="train",
    settings={"learning_rate": 2e-4, "num_epochs": 3.0, "adapter": {"type": "lora", "r": 16}, "note": "größer"},
    content={},
    inputs={"datasets": (InputRecord("dataset.support", "", "e5a1"),)},
    code=2,
    action_key="t1",
    status=Status.READY,
    output_digest="77aa",
    artifact="artifacts/train/sft/t1",
    checkpoints=(Checkpoint(100, "checkpoints/train/sft/t1/checkpoint-100", "c100"),),
    metrics={"loss": 1.25, "eval": {"accuracy": None}},
    provenance=Provenance(
        "2026-03-01T10:00:00Z",
        "2026-03-01T11:30:00Z",
        seconds=5400.5,
        gpu_seconds=21602.0,
        host="gpu-host",
        user="ada",
        git_commit="0f1e2d",
        plan="p1",
        hardware="4 x H100",
        versions={"torch": "2.13.0", "trl": "1.16.0"},
    ),
)
NEW_RUN = evolve(
    OLD_RUN,
    settings={**OLD_RUN.settings, "learning_rate": 1e-4},
    action_key="t2",
    status=Status.INTERRUPTED,
    output_digest="",
    artifact="",
    metrics={},
)
SIMPLE = State(
    lineage="5d0c7e1a",
    serial=2,
    records={"dataset.support": DATA, "train.sft": NEW_RUN},
    superseded={"t1": Superseded("train.sft", OLD_RUN)},
    history=(FIRST, HistoryEntry(2, "2026-03-02T09:00:00Z", "bob", "p2", ("train.sft",), history_digest(FIRST))),
    parent_digest="aa11",
)

TEXTS = st.text(st.characters(exclude_characters="".join(map(chr, range(0xD800, 0xDC80)))), max_size=6)
"""Whatever a file system can call a file: Python hands undecodable bytes on as U+DC80 to U+DCFF."""
PLAIN: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


def tables(values: Any) -> Any:
    return st.dictionaries(TEXTS, values, max_size=2)


def several(values: Any) -> Any:
    return st.lists(values, max_size=2).map(tuple)


CHECKPOINTS = st.builds(Checkpoint, st.integers(0), TEXTS, TEXTS)
PROVENANCES = st.builds(
    Provenance, started=TEXTS, seconds=st.floats(0, 1e9), host=TEXTS, git_dirty=st.booleans(), versions=tables(TEXTS)
)
RECORDS = st.builds(
    Record,
    kind=TEXTS,
    settings=tables(PLAIN),
    content=tables(TEXTS),
    inputs=tables(several(st.builds(InputRecord, TEXTS, TEXTS, TEXTS))),
    code=st.integers(0),
    action_key=TEXTS,
    status=st.sampled_from(Status),
    output_digest=TEXTS,
    parts=tables(TEXTS),
    artifact=TEXTS,
    checkpoints=several(CHECKPOINTS),
    metrics=tables(PLAIN),
    facts=tables(PLAIN),
    provenance=PROVENANCES,
    error=TEXTS,
)
STATES = st.builds(
    State,
    lineage=TEXTS,
    serial=st.integers(0),
    records=tables(RECORDS),
    superseded=tables(st.builds(Superseded, TEXTS, RECORDS)),
    history=several(st.builds(HistoryEntry, st.integers(0), TEXTS, TEXTS, TEXTS, several(TEXTS), TEXTS)),
    parent_digest=TEXTS,
)


def refused(content: bytes) -> Diagnostic:
    with pytest.raises(ProblemError) as caught:
        read(content, ".tune/state.json")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.place == Place(".tune/state.json")
    return diagnostic


def told_or_read(content: bytes) -> str | State:
    """The file that a problem names, or the state if there is none."""
    try:
        return read(content, ".tune/state.json")
    except ProblemError as error:
        return error.diagnostics[0].place.file


def signed(**body: Any) -> bytes:
    """A state file that matches its own digest, whatever it says."""
    whole = {"format": "tune-state/1", "tool": "0", "lineage": "l", "serial": 1, **body}
    return json.dumps(whole | {"digest": digest(whole)}).encode()


@settings(deadline=None)
@given(STATES)
def test_what_is_written_is_read_back(state: State) -> None:
    content, written = write(state, "0.1")
    assert read(content, "state.json") == written
    assert evolve(written, digest="") == state


@settings(deadline=None)
@given(STATES)
def test_reading_and_writing_again_gives_the_same_bytes(state: State) -> None:
    content, written = write(state, "0.1")
    assert write(evolve(read(content, "state.json"), digest=""), "0.1") == (content, written)


def test_a_state_of_the_first_format_is_read_and_written_as_it_always_was() -> None:
    content = GOLDEN.read_bytes()
    state = read(content, "state.json")
    assert evolve(state, digest="") == SIMPLE
    assert write(SIMPLE, "0.1.0") == (content, state)


@pytest.mark.parametrize("length", [0, 1, 100, 1000, -2])
def test_half_a_file_is_a_problem_that_says_so(length: int) -> None:
    diagnostic = refused(GOLDEN.read_bytes()[:length])
    assert diagnostic.summary == "Damaged state"
    assert diagnostic.detail.startswith("`.tune/state.json` is not complete JSON: ")
    assert diagnostic.hint == "Restore it from version control or a backup; tune itself never leaves half a file."


@pytest.mark.parametrize("mask", [0x01, 0x10, 0x20, 0x80, 0xFF])
def test_no_flipped_byte_goes_unseen(mask: int) -> None:
    content, written = write(State("l", 3, {"raw.a": DATA}, parent_digest="p"), "0.1")
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= mask
        assert told_or_read(bytes(damaged)) in (".tune/state.json", written)


def test_an_edited_value_is_seen() -> None:
    assert refused(GOLDEN.read_bytes().replace(b"0.0001", b"0.0003")) == Diagnostic(
        "Damaged state",
        "The content of `.tune/state.json` does not match its own digest: it was edited or damaged.",
        "Restore it from version control or a backup.",
        Place(".tune/state.json"),
    )


def test_a_newer_format_is_refused_with_the_version_that_wrote_it() -> None:
    assert refused(b'{"format": "tune-state/2", "tool": "3.1.4", "surprise": []}') == Diagnostic(
        "State from a newer tune",
        "`.tune/state.json` has the format tune-state/2, written by tune 3.1.4.",
        "Upgrade tune; this one reads up to tune-state/1.",
        Place(".tune/state.json"),
    )


@pytest.mark.parametrize("content", [b"[]", b"null", b'"tune-state/1"', b"3", b"{}", b'{"format": 1}'])
def test_other_json_is_no_state(content: bytes) -> None:
    assert refused(content).detail == "`.tune/state.json` is not a state file: it names no format."


@pytest.mark.parametrize(
    "body",
    [
        {"surprise": 1},
        {"records": {"a.b": {"kind": "a", "surprise": 1}}},
        {"records": []},
        {"records": {"a.b": None}},
        {"history": 7},
        {"history": [{"serial": "first"}]},
        {"serial": None},
    ],
)
def test_a_file_of_another_shape_is_a_problem_even_if_its_digest_is_right(body: dict[str, Any]) -> None:
    diagnostic = refused(signed(**body))
    assert diagnostic.summary == "Damaged state"
    assert diagnostic.detail.startswith("`.tune/state.json` does not have the shape of tune-state/1: ")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_number_that_is_none_is_a_damage_like_any_other(number: bytes) -> None:
    assert refused(GOLDEN.read_bytes().replace(b"0.0001", number)).summary == "Damaged state"
