"""The state file: what is written is read back, and whatever cannot be trusted is refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given

from state.canonical import digest_bytes
from state.diagnostic import Diagnostic, Place, ProblemError
from state.format import read, write
from state.record import State
from tests.state.examples import DATA, FLIPS, SIMPLE, STATES, flipped, record

GOLDEN = Path(__file__).parent / "golden" / "v1-simple.json"


def refused(content: bytes) -> Diagnostic:
    with pytest.raises(ProblemError) as caught:
        read(content, ".tune/state.json")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.place == Place(".tune/state.json")
    return diagnostic


def signed_again(content: bytes) -> bytes:
    """A file that was edited by somebody who mended its digest, too."""
    unsigned = re.sub(rb'"digest": "[0-9a-f]{32}"', b'"digest": "' + b"0" * 32 + b'"', content, count=1)
    return unsigned.replace(b"0" * 32, digest_bytes(unsigned).encode(), 1)


@given(STATES)
def test_what_is_written_is_read_back(state: State) -> None:
    content, written = write(state, "0.1")
    assert read(content, "state.json") == written
    assert evolve(written, digest="") == state


@given(STATES)
def test_reading_and_writing_again_gives_the_same_bytes(state: State) -> None:
    content, written = write(state, "0.1")
    assert write(evolve(read(content, "state.json"), digest=""), "0.1") == (content, written)


def test_a_state_of_the_first_format_is_read_and_written_as_it_always_was() -> None:
    content = GOLDEN.read_bytes()
    state = read(content, "state.json")
    assert evolve(state, digest="") == SIMPLE
    assert write(SIMPLE, "0.1.0") == (content, state)


def test_the_file_is_json_with_one_line_for_each_record() -> None:
    content = GOLDEN.read_bytes()
    body = json.loads(content)
    assert list(body) == [
        *("digest", "format", "history", "lineage", "parent_digest", "serial", "tool"),
        *("records", "superseded"),
    ]
    assert body["records"]["train.sft"]["settings"]["note"] == "größer"
    starts = [line.split(b": ")[0] for line in content.splitlines()]
    assert starts[8:] == [
        *(b'"records"', b'"dataset.support"', b'"train.sft"', b"},"),
        *(b'"superseded"', b'"t1"', b"}", b"}"),
    ]


@pytest.mark.parametrize("state", [State("l", 3, {"raw.a": DATA}, parent_digest="p"), State("l", 1)])
def test_a_file_torn_at_any_length_is_refused(state: State) -> None:
    content, _ = write(state, "0.1")
    assert {refused(content[:length]).summary for length in range(len(content))} == {"Damaged state"}


def test_half_a_file_is_a_problem_that_says_so() -> None:
    diagnostic = refused(GOLDEN.read_bytes()[:100])
    assert diagnostic.detail.startswith("`.tune/state.json` is not complete JSON: ")
    assert diagnostic.hint == "Restore it from version control or a backup; tune itself never leaves half a file."


@pytest.mark.parametrize("mask", FLIPS)
def test_no_flipped_byte_is_read(mask: int) -> None:
    content, _ = write(State("l", 3, {"raw.a": DATA}, parent_digest="p"), "0.1")
    for damaged in flipped(content, mask):
        refused(damaged)


def test_an_edited_value_is_seen() -> None:
    assert refused(GOLDEN.read_bytes().replace(b"0.0001", b"0.0003")) == Diagnostic(
        "Damaged state",
        "The content of `.tune/state.json` does not match its own digest: it was edited or damaged.",
        "Restore it from version control or a backup.",
        Place(".tune/state.json"),
    )


def test_the_same_records_on_other_lines_are_an_edit() -> None:
    body = json.loads(GOLDEN.read_bytes())
    assert refused(json.dumps(body).encode()).summary == "Damaged state"
    assert refused(json.dumps(body, indent=1).encode()).summary == "Damaged state"
    assert refused(GOLDEN.read_bytes() + b"\n").summary == "Damaged state"


@pytest.mark.parametrize(
    "content",
    [
        b'{"format": "tune-state/2", "tool": "3.1.4", "surprise": []}',
        b'{\n"format": "tune-state/2",\n"tool": "3.1.4",\n"records": {\n"a.b": [what no reader of today can take apart',
    ],
)
def test_a_newer_format_is_refused_with_the_version_that_wrote_it(content: bytes) -> None:
    assert refused(content) == Diagnostic(
        "State from a newer tune",
        "`.tune/state.json` has the format tune-state/2, written by tune 3.1.4.",
        "Upgrade tune; this one reads up to tune-state/1.",
        Place(".tune/state.json"),
    )


@pytest.mark.parametrize("content", [b"[]", b"null", b'"tune-state/1"', b"3", b"{}", b'{"format": 1}'])
def test_other_json_is_no_state(content: bytes) -> None:
    assert refused(content).detail == "`.tune/state.json` is not a state file: it names no format."


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b'{"format": ' + b"9" * 5000 + b"}", b"\0"])
def test_what_is_no_json_at_all_is_refused_without_a_traceback(content: bytes) -> None:
    assert refused(content).summary == "Damaged state"


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        (b'"serial": 2', b'"serial": null'),
        (b'"serial": 2', b'"serial": 2.5'),
        (b'"lineage": ', b'"linage": '),
        (b'"parent_digest": ', b'"parent": '),
        (b'\n"records": {\n', b'\n"recordings": {\n'),
        (b'\n"superseded": {\n', b'\n"replaced": {\n'),
        (b'\n"dataset.support": {', b'\n"dataset.support": 7, "x": {'),
        (b'\n"dataset.support": {', b"\n{"),
    ],
)
def test_a_file_of_another_shape_is_a_problem_even_if_its_digest_is_right(line: bytes, instead: bytes) -> None:
    content = GOLDEN.read_bytes()
    assert line in content
    diagnostic = refused(signed_again(content.replace(line, instead)))
    assert diagnostic.summary == "Damaged state"
    assert diagnostic.detail.startswith("`.tune/state.json` does not have the shape of tune-state/1: ")


@pytest.mark.parametrize("instead", [b'"surprise":1,"code":2', b'"kode":2', b'"code":[]', b'"code":{', b'"code":NaN'])
def test_a_record_of_another_shape_is_a_problem_when_it_is_asked_for(instead: bytes) -> None:
    state = read(signed_again(GOLDEN.read_bytes().replace(b'"code":2', instead)), ".tune/state.json")
    assert state.records["dataset.support"] == DATA
    with pytest.raises(ProblemError) as caught:
        state.records.get("train.sft")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.summary == "Damaged state"
    assert diagnostic.place == Place(".tune/state.json")
    assert diagnostic.detail.startswith("The entry `train.sft` of the state cannot be read as a record: ")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_number_that_is_none_is_a_damage_like_any_other(number: bytes) -> None:
    assert refused(GOLDEN.read_bytes().replace(b"0.0001", number)).summary == "Damaged state"


@pytest.mark.slow
def test_ten_thousand_records_are_read_and_changed_one_by_one() -> None:
    records = {f"raw.r{number:05d}": record(f"{number:032d}") for number in range(10_000)}
    content, written = write(State("l", 1, records), "0")
    state = read(content, "state.json")
    assert state.records.since(written.records) == {}
    changed = evolve(state, records=state.records.changed({"raw.r05000": record("new"), "raw.r00001": None}), digest="")
    again, _ = write(changed, "0")
    before, after = content.splitlines(), again.splitlines()
    known = set(before)
    different = [line for line in after if line not in known]
    assert [line.split(b":")[0] for line in different] == [b'"digest"', b'"raw.r05000"']
    assert len(before) == len(after) + 1
    del records["raw.r00001"]
    assert read(again, "state.json").records == {**records, "raw.r05000": record("new")}


def test_fields_that_came_later_are_left_out_where_they_say_nothing() -> None:
    plain, _ = write(State("l", 1, {"raw.a": DATA}), "0.1")
    assert not re.search(b"protected|generation|earlier", plain)
    state = State("l", 1, {"raw.a": evolve(DATA, protected=True, generation=2)})
    content, written = write(state, "0.1")
    assert b'"generation":2' in content
    assert b'"protected":true' in content
    assert evolve(read(content, "state.json"), digest="") == state
    assert written.records["raw.a"].protected
