"""What is collected, and what never is: on fake kinds, with real folders."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.applying.collection import Collection, Policy, Waste, collect, find, without
from executor.applying.provenance import Origin
from executor.applying.verification import Verification
from state import artifacts
from state.diagnostic import Diagnostic, ProblemError
from state.folder_backend import FolderBackend
from state.lock import Lock
from state.owner import this_process
from state.shared_store import SharedStore
from state.writer import writing
from tests.fake_kinds import RECIPE, Workshop

DAY = 86_400.0
NOW = 4e9
"""Long after anything in a test was made."""


def colour(workshop: Any, name: str, extra: str = "") -> None:
    """Edit the recipe's base thing."""
    workshop.write(RECIPE.replace("[thing.base]", f'[thing.base]\ncolour = "{name}"\n{extra}'))


def look(workshop: Any, policy: Policy | None = None, now: float = NOW) -> Collection:
    return find(workshop.state(), workshop.layout, policy or Policy(), workshop.shared, now)


def carry_out(workshop: Any, policy: Policy | None = None) -> Collection:
    origin = Origin("", "ada", socket.gethostname(), "", git_dirty=False)
    with writing(workshop.store, Lock(workshop.backend, this_process("gc", "")), origin.author("gc")) as writer:
        found = find(writer.state, workshop.layout, policy or Policy(), workshop.shared, NOW)
        collect(found, writer, workshop.layout, workshop.shared)
    return found


def names(found: Collection) -> list[str]:
    return [one.name for one in found.waste]


def intact(workshop: Any) -> bool:
    """Whether everything that the state names is there, as it was made."""
    verification = Verification(workshop.store, workshop.layout, workshop.shared)
    verification.run()
    records = [*workshop.state().records.values(), *(one.record for one in workshop.state().superseded.values())]
    folders = [one.artifact for one in records if one.artifact] + [c.folder for one in records for c in one.checkpoints]
    return not verification.found and all(artifacts.read(workshop.layout.root / one) for one in folders)


def test_nothing_is_collected_of_what_is_current_or_makes_the_last_edit_free_to_undo(finished: Any) -> None:
    assert look(finished).is_empty
    colour(finished, "blue")
    finished.apply()
    assert look(finished).is_empty
    carry_out(finished)
    finished.write(RECIPE)
    assert finished.actions() == {"thing.base": "adopt", "thing.top": "adopt"}


def test_superseded_results_go_with_their_checkpoints_and_the_state_forgets_them(finished: Any) -> None:
    before = finished.state().records["thing.base"]
    colour(finished, "blue")
    finished.apply()
    found = carry_out(finished, Policy(keep=0))
    run = str(Path(before.checkpoints[0].folder).parent)
    assert (
        Waste(before.artifact, "of a superseded result of thing.base", look_size(found, before.artifact)) in found.waste
    )
    assert (run, "checkpoints of a superseded result of thing.base") in [(one.name, one.why) for one in found.waste]
    assert not (finished.layout.root / before.artifact).exists()
    assert not (finished.layout.root / run).exists()
    assert dict(finished.state().superseded) == {}
    assert finished.actions() == {}
    assert intact(finished)
    assert look(finished, Policy(keep=0)).is_empty


def look_size(found: Collection, name: str) -> int:
    size = next(one.size for one in found.waste if one.name == name)
    assert size > 0
    return size


def test_the_newest_results_of_each_address_stay(finished: Any) -> None:
    for name in ("blue", "green", "white"):
        colour(finished, name)
        finished.apply()
    kept = {one.record.action_key for one in finished.state().superseded.values() if one.address == "thing.base"}
    assert len(kept) == 3
    carry_out(finished, Policy(keep=2))
    left = [one.address for one in finished.state().superseded.values()]
    assert sorted(left) == ["thing.base", "thing.base", "thing.top", "thing.top"]
    assert intact(finished)


def test_what_is_not_old_enough_stays(finished: Any) -> None:
    colour(finished, "blue")
    finished.apply()
    made = finished.layout.root.stat().st_mtime
    assert look(finished, Policy(keep=0, older_than=DAY, checkpoints=True), now=made + DAY / 2).is_empty
    assert not look(finished, Policy(keep=0, older_than=DAY), now=made + DAY + 60).is_empty


def test_checkpoints_of_finished_runs_go_only_on_request_and_then_a_longer_run_starts_anew(finished: Any) -> None:
    colour(finished, "red", "steps = 6")
    assert finished.actions()["thing.base"] == "extend"
    finished.write(RECIPE)
    found = carry_out(finished, Policy(checkpoints=True))
    assert [one.why for one in found.waste] == [
        "checkpoints of thing.base, which is finished",
        "checkpoints of thing.top, which is finished",
    ]
    assert {one.checkpoints for one in finished.state().records.values()} == {()}
    assert finished.actions() == {}
    colour(finished, "red", "steps = 6")
    assert finished.actions()["thing.base"] == "rebuild"
    assert intact(finished)


def test_checkpoints_from_which_another_run_was_extended_stay_as_long_as_it(finished: Any) -> None:
    colour(finished, "red", "steps = 6")
    finished.apply()
    carry_out(finished, Policy(keep=0))
    assert [one.step for one in finished.state().records["thing.base"].checkpoints] == [1, 2, 3, 4, 5, 6]
    assert intact(finished)
    finished.write(RECIPE)
    assert finished.actions()["thing.base"] == "extend"


def test_an_interrupted_run_keeps_its_checkpoints_and_loses_only_incomplete_ones(finished: Any) -> None:
    colour(finished, "blue")
    finished.build.stop_after = 2
    assert finished.apply().interrupted
    newest = finished.layout.root / finished.state().records["thing.base"].checkpoints[-1].folder
    broken = newest.with_name("checkpoint-3")
    broken.mkdir()
    (broken / "weights").write_text("3")
    found = carry_out(finished, Policy(keep=0, checkpoints=True, unfinished=True))
    assert Waste(finished.layout.relative(broken), "a checkpoint named by no record", 1) in found.waste
    assert finished.plan().changes[0].resume_from.step == 2
    assert intact(finished)


def test_an_artifact_that_a_killed_run_had_completed_is_kept_for_the_next_apply(finished: Any) -> None:
    colour(finished, "blue")
    finished.build.stop_after, finished.build.crash = 4, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        finished.apply()
    record = finished.state().records["thing.base"]
    folder = finished.layout.artifact("thing", "base", record.action_key)
    (folder / "out").write_text("whole")
    artifacts.publish(folder, {"outcome": {"output_digest": "d", "metrics": {"score": 1}}})
    carry_out(finished, Policy(keep=0))
    finished.build.crash = None
    assert finished.apply().done["thing.base"] == "found"


def test_an_unfinished_run_that_was_edited_away_goes_only_on_request(finished: Any) -> None:
    colour(finished, "blue")
    finished.build.stop_after = 2
    finished.apply()
    finished.build.stop_after = 0
    finished.write(RECIPE)
    finished.apply()
    half_made = carry_out(finished, Policy(keep=0)).waste
    assert [one.why for one in half_made] == ["incomplete, and nothing would finish it"]
    colour(finished, "blue")
    assert finished.actions()["thing.base"] == "resume"
    finished.write(RECIPE)
    found = carry_out(finished, Policy(keep=0, unfinished=True))
    assert "checkpoints of a run that was never finished and superseded of thing.base" in [
        one.why for one in found.waste
    ]
    assert look(finished, Policy(unfinished=True)).is_empty
    assert intact(finished)


def test_what_no_record_names_goes_with_a_reason(finished: Any) -> None:
    root = finished.layout.root
    old, young = root / "artifacts/thing/.x.1-1.tmp", root / ".y.1-1.tmp"
    for path in (old, young, root / "uploads/k/0/f", root / "merge-ab/1/f", root / "logs/thing.gone-12345678.log"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345")
    os.utime(young, (NOW, NOW))
    run = finished.state().records["thing.base"].action_key[:8]
    # Of the step itself, of another of its ranks, and of its address before it was moved.
    own = [root / f"logs/{name}.log" for name in (f"thing.base-{run}", f"thing.base-{run}.rank1", f"thing.old-{run}")]
    for path in own:
        path.write_text("kept")
    lost = root / "artifacts/thing/lost"
    for name in ("half", "whole"):
        (lost / name).mkdir(parents=True)
        (lost / name / "out").write_text("12345")
    size = artifacts.publish(lost / "whole", {}).size + (lost / "whole" / "manifest.json").stat().st_size
    found = carry_out(finished)
    assert found.waste == (
        Waste("artifacts/thing/.x.1-1.tmp", "a temporary file of a process that was killed", 5),
        Waste("artifacts/thing/lost/half", "incomplete, and nothing would finish it", 5),
        Waste("artifacts/thing/lost/whole", "named by no record", size),
        Waste("logs/thing.gone-12345678.log", "the log of a step that no record is of", 5),
        Waste("merge-ab", "left by a merge that was killed", 5),
        Waste("uploads/k", "left by an upload that was killed", 5),
    )
    assert [path for path in (old, lost, root / "uploads", root / "merge-ab") if path.exists()] == []
    assert young.exists()
    assert [path for path in own if not path.exists()] == []
    assert intact(finished)


def test_a_file_of_several_artifacts_counts_once_and_when_its_last_name_goes(finished: Any) -> None:
    lost = finished.layout.root / "artifacts/thing/lost"
    kept = finished.layout.root / finished.state().records["thing.base"].artifact
    for name in ("one", "other"):
        (lost / name).mkdir(parents=True)
        (lost / name / "out").write_text("12345")
    (lost / "one" / "rows").write_text("1234567")
    os.link(lost / "one" / "rows", lost / "other" / "rows")
    os.link(next(kept.rglob("*.json")), lost / "one" / "still-needed")
    assert [(one.name, one.size) for one in look(finished).waste] == [
        ("artifacts/thing/lost/one", 5),
        ("artifacts/thing/lost/other", 12),
    ]


def test_symbolic_links_are_not_followed_and_what_lies_behind_them_stays(finished: Any, tmp_path: Path) -> None:
    root, outside = finished.layout.root, tmp_path / "outside"
    (outside / "key").mkdir(parents=True)
    (outside / "key" / "manifest.json").write_text("{}")
    for link in ("artifacts/thing/linked", "artifacts/thing/base/linked", "uploads", "merge-linked", "logs/a.log"):
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(outside)
    (root / ".z.tmp").symlink_to(outside / "key" / "manifest.json")
    found = carry_out(finished, Policy(keep=0))
    assert found.waste == ()
    assert found.links == ("artifacts/thing/base/linked", "artifacts/thing/linked", "uploads")
    assert (outside / "key" / "manifest.json").read_text() == "{}"


def test_a_superseded_result_behind_a_symbolic_link_stays_in_the_state(finished: Any, tmp_path: Path) -> None:
    colour(finished, "blue")
    finished.apply()
    (finished.layout.root / "artifacts").rename(tmp_path / "scratch")
    (finished.layout.root / "artifacts").symlink_to(tmp_path / "scratch")
    before = finished.state()
    found = carry_out(finished, Policy(keep=0))
    assert (found.waste, found.links, dict(finished.state().superseded)) == (
        (),
        ("artifacts",),
        dict(before.superseded),
    )


@pytest.mark.parametrize("folder", ["../outside", "/etc", "artifacts/../../outside"])
def test_a_record_that_names_a_folder_outside_is_left_alone(finished: Any, folder: str) -> None:
    from attrs import evolve

    state = finished.state()
    record = evolve(state.records["thing.base"], artifact=folder, action_key="0" * 32)
    one = next(iter(state.superseded.values()), None)
    assert one is None
    from state.record import Superseded

    strange = evolve(state, superseded=state.superseded.changed({"0" * 32: Superseded("thing.base", record)}))
    assert find(strange, finished.layout, Policy(keep=0), None, NOW).is_empty


def test_without_a_state_nothing_is_taken_for_unneeded(finished: Any) -> None:
    (finished.layout.root / "state.json").unlink()
    with pytest.raises(ProblemError) as caught:
        look(finished)
    assert caught.value.diagnostics == (
        Diagnostic(
            "No state",
            "There are artifacts in `.tune/`, and no state that says which of them are needed.",
            "Restore the state, or remove `.tune/` by hand if nothing of it is needed.",
        ),
    )


def test_what_another_machine_made_is_forgotten_without_a_trace_here(finished: Any) -> None:
    import shutil

    colour(finished, "blue")
    finished.apply()
    old = [one.record for one in finished.state().superseded.values()]
    for record in old:
        for folder in (record.artifact, *(one.folder for one in record.checkpoints)):
            shutil.rmtree(finished.layout.root / folder)
    found = look(finished, Policy(keep=0))
    gone = [one for one in found.waste if not one.is_here]
    assert [(one.name, one.size) for one in gone] == [("thing.base", 0), ("thing.top", 0)]
    assert f"a superseded record, {old[0].action_key[:12]}, of which nothing is on this machine" in [
        one.why for one in gone
    ]


def test_what_cannot_be_removed_is_said_and_the_rest_goes(finished: Any) -> None:
    if os.getuid() == 0:
        pytest.skip("root may remove anything")
    stuck = finished.layout.root / "artifacts/thing/a/stuck"
    other = finished.layout.root / "artifacts/thing/b/other"
    for folder in (stuck, other):
        folder.mkdir(parents=True)
        (folder / "out").write_text("x")
    stuck.chmod(0o500)
    try:
        with pytest.raises(ProblemError) as caught:
            carry_out(finished)
    finally:
        stuck.chmod(0o700)
    assert [one.detail for one in caught.value.diagnostics] == [
        "`.tune/artifacts/thing/a/stuck` could not be removed, or not all of it."
    ]
    assert not other.exists()


def test_a_collection_that_was_killed_after_the_state_was_written_is_finished_by_the_next(finished: Any) -> None:
    colour(finished, "blue")
    finished.apply()
    policy = Policy(keep=0)
    origin = Origin("", "ada", socket.gethostname(), "", git_dirty=False)
    with writing(finished.store, Lock(finished.backend, this_process("gc", "")), origin.author("gc")) as writer:
        planned = find(writer.state, finished.layout, policy, None, NOW)
        writer.save(without(writer.state, planned.forgotten, planned.emptied))
    (finished.layout.root / planned.waste[0].name / "manifest.json").unlink(missing_ok=True)
    assert intact(finished)
    again = carry_out(finished, policy)
    assert names(again) == names(planned)
    assert [one for one in names(planned) if (finished.layout.root / one).exists()] == []


def test_the_shared_store_is_collected_for_what_stays(tmp_path: Path, make_workshop: Callable[[Path], Any]) -> None:
    (tmp_path / "here").mkdir()
    workshop = make_workshop(tmp_path / "here")
    workshop.shared = SharedStore(FolderBackend(tmp_path / "shared", "shared"), "")
    workshop.write(RECIPE, **{"data.txt": "one"})
    workshop.apply()
    colour(workshop, "blue")
    workshop.apply()
    assert len(workshop.shared.keys()) == 4
    found = carry_out(workshop, Policy(keep=0))
    assert found.size > sum(one.size for one in found.waste) > 0
    current = {one.action_key for one in workshop.state().records.values() if one.artifact}
    assert workshop.shared.keys() == current


EDITS = st.lists(
    st.tuples(st.sampled_from(["red", "blue", "green"]), st.integers(2, 5), st.booleans(), st.integers(0, 3)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=8)
@given(
    EDITS, st.builds(Policy, keep=st.integers(0, 2), checkpoints=st.booleans(), unfinished=st.booleans()), st.booleans()
)
def test_after_any_history_a_collection_changes_no_plan_and_leaves_nothing_for_a_second(
    edits: list[tuple[str, int, bool, int]],
    policy: Policy,
    undone: bool,  # noqa: FBT001
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        (Path(folder) / "data.txt").write_text("one")
        for name, steps, decay, stop in edits:
            colour(workshop, name, f"steps = {steps}\ndecay = {str(decay).lower()}")
            workshop.build.stop_after = stop
            workshop.apply()
        if undone:
            workshop.write(RECIPE)
            workshop.build.stop_after = 0
            workshop.apply()
        before = {address: one for address, one in workshop.actions().items() if one in ("build", "resume")}
        carry_out(workshop, policy)
        assert {address: one for address, one in workshop.actions().items() if one in ("build", "resume")} == before
        assert intact(workshop)
        assert look(workshop, policy).is_empty
