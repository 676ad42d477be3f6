"""What changed behind tune's back is found where it is looked for, and said without being followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor import kinds
from executor.applying.drift import Bytes, moved_revisions
from planner.recipe import parse
from state.diagnostic import Diagnostic, Place, Severity
from state.record import EMPTY, Record, Status
from tests.fake_kinds import Workshop
from tests.hub_server import COMMIT

RESOLVED = "f" * 40
RECIPE = """\
[model.base]
source = "acme/base"
revision = "main"
"""


def output(workshop: Workshop, address: str) -> Path:
    return workshop.layout.root / workshop.state().records[address].artifact / "out"


def change(path: Path) -> None:
    """Other bytes, as many as before."""
    path.write_bytes(bytes(reversed(path.read_bytes())))


def test_a_plan_looks_at_sizes_and_at_bytes_only_if_asked(finished: Workshop) -> None:
    before = output(finished, "thing.base").read_text()
    change(output(finished, "thing.base"))
    assert finished.actions() == {}
    finished.content = Bytes(finished.layout)
    assert finished.actions() == {"thing.base": "resume", "thing.top": "rebuild"}
    folder = finished.state().records["thing.base"].artifact
    assert tuple(finished.content.notes()) == (
        Diagnostic(
            "Changed artifact",
            "It is not what was made: `out` changed since.",
            "`tune apply --verify` makes it again; restore it from a backup to keep it.",
            Place(f".tune/{folder}"),
            Severity.WARNING,
        ),
    )
    done = finished.apply().done
    assert done == {"raw.data": "reused", "thing.base": "resumed", "thing.top": "reused"}
    assert output(finished, "thing.base").read_text() == before
    finished.content = Bytes(finished.layout)
    assert finished.actions() == {}


def test_an_edit_that_is_undone_does_not_adopt_what_has_changed_since(finished: Workshop) -> None:
    recipe = (finished.folder / "recipe.toml").read_text()
    first = output(finished, "thing.top")
    finished.write(recipe + 'colour = "blue"\n')
    assert finished.apply().failure is None
    change(first)
    finished.write(recipe)
    assert finished.actions() == {"thing.top": "adopt"}
    finished.content = Bytes(finished.layout)
    assert finished.actions() == {"thing.top": "rebuild"}
    assert finished.apply().done["thing.top"] == "rebuilt"
    finished.content = Bytes(finished.layout)
    assert finished.actions() == {}


def test_a_shorter_artifact_is_seen_by_every_plan(finished: Workshop) -> None:
    output(finished, "thing.top").write_text("")
    assert finished.actions() == {"thing.top": "resume"}


@pytest.mark.parametrize(("kept", "found"), [(COMMIT, 0), (RESOLVED, 1)])
def test_a_branch_that_has_moved_is_told(
    hub_server: Any, monkeypatch: pytest.MonkeyPatch, kept: str, found: int
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub_server.endpoint)
    hub_server.repositories["acme/base"] = {"config.json": b"{}"}
    recipe = parse(RECIPE, "recipe.toml", kinds.load())
    record = Record("model", {}, {"commit": kept}, {}, 1, "key", Status.READY)
    state = evolve(EMPTY, records={"model.base": record})
    notes = tuple(moved_revisions(recipe, state))
    assert len(notes) == found
    if found:
        assert notes[0].detail == f"model.base keeps to {RESOLVED}, and `main` of acme/base is {COMMIT} by now."
        assert notes[0].hint == f'`revision = "{COMMIT}"` takes the new one; nothing moves by itself.'
        assert (notes[0].place, notes[0].severity) == (Place("recipe.toml", 3, 1), Severity.WARNING)


def test_a_hub_that_cannot_be_asked_stops_no_plan(hub_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub_server.endpoint)
    recipe = parse(RECIPE, "recipe.toml", kinds.load())
    record = Record("model", {}, {"commit": RESOLVED}, {}, 1, "key", Status.READY)
    (note,) = moved_revisions(recipe, evolve(EMPTY, records={"model.base": record}))
    assert (note.summary, note.severity) == ("Unresolved revision", Severity.WARNING)
