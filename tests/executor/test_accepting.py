"""A result that is accepted for an edit: recorded with the reason, without any work, and never more than was said."""

from __future__ import annotations

import socket
import time

import pytest
from attrs import evolve

from executor.applying.accepting import accepted
from executor.applying.collection import Policy, find
from executor.applying.importing import Surroundings
from executor.applying.provenance import Origin
from state.change import put
from state.diagnostic import Diagnostic, ProblemError
from state.history import History
from state.lock import Lock
from state.owner import this_process
from state.record import InputRecord, Record
from state.writer import writing
from tests.fake_kinds import KINDS, Workshop

RECIPE = """\
[raw.data]
source = "data.txt"
[thing.base]
base = ["raw.data"]
[thing.top]
base = ["thing.base"]
"""
ORIGIN = Origin("", "ada", socket.gethostname(), "", git_dirty=False)


@pytest.fixture
def finished(workshop: Workshop) -> Workshop:
    workshop.write(RECIPE, **{"data.txt": "one"})
    assert workshop.apply().failure is None
    return workshop


def accept(workshop: Workshop, address: str, because: str = "it is only a word") -> Record:
    desired = {one.address: one for one in workshop.desired()[1]}
    surroundings = Surroundings(KINDS, workshop.layout, ORIGIN)
    lock = Lock(workshop.backend, this_process("test", ""))
    with writing(workshop.store, lock, ORIGIN.author("tune accept")) as writer:
        record = accepted(address, because, desired, writer.state, surroundings)
        writer.save(put(writer.state, address, record), because)
    return record


def refused(workshop: Workshop, address: str) -> Diagnostic:
    with pytest.raises(ProblemError) as caught:
        accept(workshop, address)
    (found,) = caught.value.diagnostics
    return found


def edit(workshop: Workshop, old: str, new: str) -> None:
    path = workshop.folder / "recipe.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_an_edit_that_is_accepted_costs_nothing_and_history_has_the_reason(finished: Workshop) -> None:
    before = finished.state().records["thing.base"]
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    record = accept(finished, "thing.base")
    assert finished.actions() == {}
    assert (record.settings["colour"], record.output_digest, record.artifact) == (
        "blue",
        before.output_digest,
        before.artifact,
    )
    assert record.facts["accepted"] == "it is only a word"
    state = finished.state()
    newest = next(History(finished.backend).newest_first(state))[1]
    assert (newest.because, newest.author.command, set(newest.records)) == (
        "it is only a word",
        "tune accept",
        {"thing.base"},
    )
    assert finished.apply().failure is None
    assert finished.build.built == []


def test_an_accepted_edit_can_be_undone_and_done_again_without_work(finished: Workshop) -> None:
    before = finished.state().records["thing.base"]
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    accept(finished, "thing.base")
    edit(finished, 'colour = "blue"', 'colour = "red"')
    assert finished.actions() == {"thing.base": "adopt"}
    finished.apply()
    assert (finished.build.built, finished.actions()) == ([], {})
    assert finished.state().records["thing.base"] == before
    edit(finished, 'colour = "red"', 'colour = "blue"')
    assert finished.actions() == {"thing.base": "adopt"}
    found = find(finished.state(), finished.layout, Policy(keep=0, older_than=0), None, time.time())
    assert found.is_empty


def test_no_run_goes_on_from_the_checkpoints_of_another(finished: Workshop) -> None:
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    assert accept(finished, "thing.base").checkpoints == ()
    edit(finished, "[thing.base]", "[thing.base]\nsteps = 8")
    assert finished.actions()["thing.base"] == "rebuild"


def test_other_data_is_accepted_and_marked_as_not_verified(finished: Workshop) -> None:
    (finished.folder / "data.txt").write_text("two")
    before = finished.state().records["thing.base"].inputs["base"][0]
    after = accept(finished, "thing.base").inputs["base"][0]
    assert (after.address, after.digest != before.digest, after.verified) == ("raw.data", True, False)
    assert finished.actions() == {"raw.data": "update"}
    finished.apply()
    assert finished.build.built == []
    assert finished.actions() == {}


def test_a_note_is_accepted_with_its_checkpoints(finished: Workshop) -> None:
    edit(finished, "[thing.top]", '[thing.top]\nnote = "new"')
    record = accept(finished, "thing.top")
    assert len(record.checkpoints) == 4
    assert all(one.verified for one in record.inputs["base"])


def test_what_was_imported_with_unknown_inputs_can_be_accepted(finished: Workshop) -> None:
    state = finished.state()
    unknown = {"base": (InputRecord("thing.base", "", "", verified=False),)}
    lock = Lock(finished.backend, this_process("test", ""))
    with writing(finished.store, lock, ORIGIN.author("test")) as writer:
        writer.save(put(state, "thing.top", evolve(state.records["thing.top"], inputs=unknown)))
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "green"')
    edit(finished, "[thing.top]", '[thing.top]\ncolour = "blue"')
    assert accept(finished, "thing.top").inputs == unknown


def test_what_is_not_there_cannot_be_accepted(finished: Workshop) -> None:
    assert refused(finished, "thing.bas") == Diagnostic(
        "Unknown address", "The recipe has no `thing.bas`.", "Did you mean `thing.base`?"
    )
    assert refused(finished, "raw.data").detail == (
        "raw.data is only recorded: `tune apply` does that without building anything."
    )
    assert refused(finished, "thing.base").detail == "thing.base is what the recipe asks for already."
    edit(finished, "[thing.top]", "[thing.new]\n[thing.top]")
    assert refused(finished, "thing.new") == Diagnostic(
        "Nothing to accept", "The state has no result of thing.new.", "Make it with `tune apply --target thing.new`."
    )
    edit(finished, "[thing.base]", "[thing.base]\ndecay = true")
    assert refused(finished, "thing.top") == Diagnostic(
        "Input not made",
        "thing.top is made from thing.base, which has to be made first.",
        "`tune apply --exclude thing.top` does that.",
    )


def test_an_interrupted_run_cannot_be_accepted(workshop: Workshop) -> None:
    workshop.write("[thing.a]\n")
    workshop.build.stop_after = 2
    workshop.apply()
    assert refused(workshop, "thing.a").detail == "The state has no result of thing.a."
