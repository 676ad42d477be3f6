"""Entries are a mapping like any other, except that they leave alone what nobody asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.diagnostic import ProblemError
from state.entries import Entries
from state.plain import as_line, record_to_plain
from state.record import Record
from tests.state.examples import TEXTS, record

NAMES = st.sampled_from(["a", "b", "c", "", 'q"\n']) | TEXTS
VALUES = st.sampled_from([record("1"), record("2"), *(record("3", facts={"rows": rows}) for rows in (1, 1.0, True))])
"""Few, so that they meet; that every record survives its line is a test of the file's format."""
TABLES = st.dictionaries(NAMES, VALUES, max_size=4)
CHANGES = st.dictionaries(NAMES, st.none() | VALUES, max_size=4)


def as_lines(records: dict[str, Record]) -> dict[str, bytes]:
    return {name: as_line(record_to_plain(one)) for name, one in records.items()}


@st.composite
def entries(draw: st.DrawFn) -> tuple[Entries[Record], dict[str, Record]]:
    """Entries of which some were read and some are new, and the same as a dictionary."""
    model = draw(TABLES)
    read = {name: one for name, one in model.items() if draw(st.booleans())}
    return Entries(as_lines(read), Record, {name: model[name] for name in model if name not in read}), model


@given(entries(), st.lists(CHANGES, max_size=3))
def test_changed_entries_are_what_a_changed_dictionary_is(
    pair: tuple[Entries[Record], dict[str, Record]], several: list[dict[str, Record | None]]
) -> None:
    found, model = pair
    for changes in several:
        before = dict(model)
        earlier, found = found, found.changed(changes)
        model = {name: one for name, one in {**model, **changes}.items() if one is not None}
        assert earlier == before
    assert found == model
    assert dict(found) == model
    assert set(found) == set(model)
    assert len(found) == len(model)
    assert {name: found.line(name) for name in found} == as_lines(model)


@given(entries(), NAMES)
def test_a_name_is_there_or_is_not(pair: tuple[Entries[Record], dict[str, Record]], name: str) -> None:
    found, model = pair
    assert (name in found) == (name in model)
    assert found.get(name) == model.get(name)
    if name not in model:
        with pytest.raises(KeyError):
            found[name]
        with pytest.raises(KeyError):
            found.line(name)


@given(entries(), entries())
def test_the_difference_between_two_leads_from_one_to_the_other(
    one: tuple[Entries[Record], dict[str, Record]], other: tuple[Entries[Record], dict[str, Record]]
) -> None:
    (after, after_model), (before, before_model) = one, other
    difference = after.since(before)
    assert before.changed(difference) == after
    # The text decides, as on the disk: to Python 1, 1.0 and True are one value.
    lines, earlier = as_lines(after_model), as_lines(before_model)
    assert difference.keys() == {name for name in {**lines, **earlier} if lines.get(name) != earlier.get(name)}


@given(entries())
def test_nothing_differs_from_itself(pair: tuple[Entries[Record], dict[str, Record]]) -> None:
    found, model = pair
    assert found.since(found) == {}
    assert found.since(Entries(as_lines(model), Record)) == {}


def test_what_nobody_asks_for_is_never_parsed_and_written_as_it_was_read() -> None:
    read = Entries({"a": b"{this is no JSON", "b": b'{ "nor" : "a record" }'}, Record)
    changed = read.changed({"c": record("new")})
    assert changed.line("a") == b"{this is no JSON"
    assert changed.line("b") == b'{ "nor" : "a record" }'
    assert changed.since(read) == {"c": record("new")}
    assert read.changed({"a": None}).since(read) == {"a": None}
    assert "a" in changed
    assert sorted(changed) == ["a", "b", "c"]


def test_a_record_is_parsed_once() -> None:
    read = Entries(as_lines({"a": record("1")}), Record)
    assert read["a"] is read["a"]
    assert read.changed({"b": record("2")})["a"] is read["a"]


@given(entries(), st.lists(NAMES))
def test_reading_ahead_changes_nothing(pair: tuple[Entries[Record], dict[str, Record]], names: list[str]) -> None:
    found, model = pair
    found.read_ahead([*names, *names])
    assert {name: found[name] for name in found} == model
    assert {name: found.line(name) for name in found} == as_lines(model)


@pytest.mark.parametrize("damaged", [b"{this is no JSON", b'{"nor":"a record"}', b'{"a":1},{"b":2}', b"[]"])
def test_reading_ahead_leaves_what_is_damaged_to_whoever_asks_for_it(damaged: bytes) -> None:
    read = Entries({**as_lines({"a": record("1")}), "b": damaged, **as_lines({"c": record("3")})}, Record)
    read.read_ahead(["a", "b", "c"])
    assert (read["a"], read["c"]) == (record("1"), record("3"))
    with pytest.raises(ProblemError, match="The entry `b` of the state cannot be read as a record"):
        read["b"]


def test_entries_show_themselves_as_what_they_hold() -> None:
    read = Entries(as_lines({"a": record("1")}), Record)
    assert repr(read) == "Entries(" + repr({"a": record("1")}) + ")"


def test_entries_of_entries_are_the_same_ones() -> None:
    read = Entries({"a": b"{this is no JSON"}, Record)
    assert Entries.of(read, Record) is read
    assert Entries.of({"a": record("1")}, Record) == {"a": record("1")}
