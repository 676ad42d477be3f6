"""A saved plan is read back as it was, says the same wherever it was made, and is refused if it cannot be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from planner import planfile
from planner.desired import Given
from planner.diff import Action
from planner.effects import Effect
from planner.kind import Source
from planner.overrides import Overrides
from planner.plan import Plan, StateVersion, Step
from planner.planfile import _decided
from planner.reason import (
    CODES,
    ArtifactMissing,
    AskedFor,
    CodeChanged,
    ContentChanged,
    Failed,
    FieldChanged,
    GateFailed,
    Imported,
    InputAssumed,
    InputChanged,
    Interrupted,
    MadeBefore,
    Moved,
    NoCheckpoint,
    NoLongerAccepted,
    NotEquivalent,
    NotInRecipe,
    NotInState,
    OtherLayout,
    OtherLength,
    Reason,
    Removed,
    ScheduleDiffers,
    Shared,
    StoppedEarly,
)
from state.canonical import digest
from state.diagnostic import Diagnostic, Place, ProblemError, Severity
from state.record import Checkpoint

GOLDEN = Path(__file__).parent / "golden" / "small.plan.json"

CHANGED = FieldChanged("learning_rate", 2e-4, 1e-4, Effect.REBUILD, "every step depends on it")
BELOW = InputChanged("datasets", "dataset.support", certain=True, because=(ContentChanged("data/a.jsonl", "", "6f3c"),))
REASONS: tuple[Reason, ...] = (
    NotInState(),
    NotInRecipe(),
    CHANGED,
    FieldChanged("adapter.layers", ["q", "v"], None, Effect.NUMERICS, "größer"),
    BELOW,
    InputChanged("model", "train.sft", certain=False, because=(CHANGED, BELOW)),
    BELOW.because[0],
    InputAssumed("tokens", "tokens.sft"),
    CodeChanged(1, 2),
    Interrupted(100),
    Interrupted(0, reached=50),
    Failed("out of memory"),
    ScheduleDiffers(2, 0.75, 0.875),
    OtherLayout(100, "deepspeed on 4 processes", "torch"),
    NotEquivalent(100, 52, 0.0001, 0.00015),
    NoLongerAccepted(100),
    NoCheckpoint(),
    OtherLength(100, 50),
    ArtifactMissing("artifacts/train/sft/k"),
    StoppedEarly(300),
    OtherLayout(100, "ddp over 2 processes", "deepspeed over 4 processes"),
    GateFailed("exact_match is 0.8, not >= 0.85"),
    MadeBefore("train.old"),
    Shared("s3://team/models"),
    AskedFor(),
    Moved("train.old"),
    Removed(),
    Imported("theirs/adapter"),
)
STEP = Step(
    address="train.sft",
    kind="train",
    action=Action.REBUILD,
    conditional=False,
    reasons=(CHANGED,),
    resume_from=None,
    settings={"learning_rate": 1e-4, "adapter": {"r": 16, "layers": ["q", "v"]}},
    content={},
    inputs={
        "datasets": (Given(Source("tokens.sft"), "e5a1"),),
        "model": (Given(Source("model.base", "weights"), "77aa"),),
    },
    code=2,
    facts={"rows": 1200},
    estimate={"seconds": 5400.5, "gpu_seconds": 21602.0, "basis": "the last run"},
)
DATA = Step("tokens.sft", "tokens", Action.REUSE, False, (), None, {}, {"data/a.jsonl": "6f3c"}, {}, 1, {}, {})  # noqa: FBT003
MERGED = evolve(
    STEP,
    address="merge.final",
    kind="merge",
    conditional=True,
    reasons=(InputChanged("adapter", "train.sft", certain=False, because=(CHANGED,)),),
    settings={"dtype": "bfloat16"},
    inputs={"adapter": (Given(Source("train.sft"), None),)},
    facts={},
    estimate={},
)
SMALL = Plan(
    "recipe.toml",
    planfile.SavedMeaning("0c0c"),
    StateVersion("5d0c7e1a", 7, "d6bd"),
    (DATA, STEP, MERGED),
    (Diagnostic("Assumption", "data/b.jsonl is not here.", "", Place("recipe.toml", 3, 1), Severity.WARNING),),
)
WRITTEN: Any = planfile.to_plain(SMALL)


def refused(text: str) -> Diagnostic:
    with pytest.raises(ProblemError) as caught:
        planfile.loads(text, "p.plan.json")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.place == Place("p.plan.json")
    return diagnostic


def signed(**changes: Any) -> str:
    """A saved plan that matches its own digest, whatever it says."""
    body = {**WRITTEN, **changes}
    del body["plan_digest"]
    return json.dumps({"plan_digest": digest(_decided(body)), **body})


def test_there_is_an_example_of_every_reason() -> None:
    assert {type(one) for one in REASONS} == set(CODES)
    assert len(set(CODES.values())) == len(CODES)


@pytest.mark.parametrize("reason", REASONS, ids=lambda one: CODES[type(one)])
def test_every_reason_survives_the_file(reason: Reason) -> None:
    plan = evolve(SMALL, steps=(evolve(STEP, reasons=(reason,)),))
    assert planfile.loads(planfile.dumps(plan, "recipe.toml"), "p") == plan


@pytest.mark.parametrize("action", Action)
def test_every_action_survives_the_file_and_is_counted(action: Action) -> None:
    plan = evolve(SMALL, steps=(evolve(STEP, action=action, resume_from=Checkpoint(100, "checkpoint-100", "c100")),))
    assert planfile.loads(planfile.dumps(plan, "recipe.toml"), "p") == plan
    summary = planfile.to_plain(plan)["summary"]
    assert summary == {one.value: int(one is action) for one in Action}


def test_a_whole_plan_survives_the_file() -> None:
    plan = evolve(SMALL, steps=(DATA, evolve(STEP, reasons=REASONS), MERGED))
    text = planfile.dumps(plan, "../recipes/recipe.toml")
    assert planfile.loads(text, "p") == plan
    assert planfile.location(text) == "../recipes/recipe.toml"


def test_what_was_given_survives_the_file_and_is_bound_by_the_digest() -> None:
    given = Overrides({"team": "blue"}, ("train.sft.seed=1", "train.sft.seed=2"))
    plan = evolve(SMALL, overrides=given)
    assert planfile.loads(planfile.dumps(plan, "recipe.toml"), "p") == plan
    assert planfile.to_plain(plan)["recipe"] == {
        "path": "recipe.toml",
        "digest": "0c0c",
        "variables": {"team": "blue"},
        "settings": ["train.sft.seed=1", "train.sft.seed=2"],
    }
    assert planfile.to_plain(plan)["plan_digest"] != WRITTEN["plan_digest"]


def test_a_plan_is_written_as_documented() -> None:
    assert planfile.dumps(SMALL, "recipe.toml") == GOLDEN.read_text(encoding="utf-8")


def test_a_plan_of_the_first_format_is_read() -> None:
    assert planfile.loads(GOLDEN.read_text(encoding="utf-8"), "p") == SMALL


def test_a_digest_approves_what_is_done_and_not_what_is_said_of_it() -> None:
    noted = evolve(SMALL, steps=(DATA, evolve(STEP, notes={"rows": {"before": 1}}), MERGED), diagnostics=())
    assert planfile.to_plain(noted)["plan_digest"] == WRITTEN["plan_digest"]
    assert planfile.loads(planfile.dumps(noted, "recipe.toml"), "p") == noted


def test_where_a_plan_is_saved_is_not_part_of_what_it_says() -> None:
    here, there = (json.loads(planfile.dumps(SMALL, location)) for location in ("recipe.toml", "../recipe.toml"))
    assert here.pop("location") != there.pop("location")
    assert here == there


@pytest.mark.parametrize("text", ["", "{", GOLDEN.read_text(encoding="utf-8")[:-3]])
def test_half_a_plan_is_none(text: str) -> None:
    diagnostic = refused(text)
    assert diagnostic.summary == "Not a plan"
    assert diagnostic.detail.startswith("`p.plan.json` is not JSON: ")


@pytest.mark.parametrize("text", ["[]", "null", "7", "{}", '{"format": "tune-state/1"}', '{"format": 1}'])
def test_other_json_is_no_plan(text: str) -> None:
    assert refused(text) == Diagnostic(
        "Not a plan",
        "`p.plan.json` was not written by `tune plan --out`.",
        "Save one with `tune plan --out FILE`.",
        Place("p.plan.json"),
    )


def test_a_newer_plan_is_refused() -> None:
    assert refused('{"format": "tune-plan/2", "surprise": 1}') == Diagnostic(
        "Plan from a newer tune",
        "`p.plan.json` has the format tune-plan/2; this tune reads tune-plan/1.",
        "Upgrade tune, or make the plan again.",
        Place("p.plan.json"),
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"reuse"', '"build"'),
        ("0.0001", "0.0003"),
        ("0.0001", "NaN"),
        ('"serial": 7', '"serial": 7.0'),
        ("e5a1", "e5a2"),
    ],
)
def test_an_edited_plan_is_refused(old: str, new: str) -> None:
    text = planfile.dumps(SMALL, "recipe.toml")
    assert old in text
    assert refused(text.replace(old, new)) == Diagnostic(
        "Damaged plan",
        "The content of `p.plan.json` does not match its own digest: it was edited or damaged.",
        "Make the plan again with `tune plan --out`.",
        Place("p.plan.json"),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {}},
        {"recipe": None},
        {"recipe": {"path": "recipe.toml", "digest": "0c0c", "variables": ["x"]}},
        {"recipe": {"path": "recipe.toml", "digest": "0c0c", "settings": 7}},
        {"state": {}},
        {"state": {"lineage": "l", "serial": 1, "digest": "d", "surprise": 1}},
        {"steps": [{}]},
        {"steps": [{**WRITTEN["steps"][0], "action": "surprise"}]},
        {"steps": [{**WRITTEN["steps"][0], "reasons": [{"code": "surprise"}]}]},
        {"diagnostics": [7]},
    ],
)
def test_a_plan_of_another_shape_is_a_problem_even_if_its_digest_is_right(changes: dict[str, Any]) -> None:
    diagnostic = refused(signed(**changes))
    assert diagnostic.summary == "Damaged plan"
    assert diagnostic.detail.startswith("`p.plan.json` does not have the shape of tune-plan/1: ")


def test_a_recipe_gives_the_same_plan_byte_for_byte_in_every_folder(
    tmp_path: Path, make_workshop: Callable[[Path], Any]
) -> None:
    texts = []
    for name in ("one", "another place"):
        folder = tmp_path / name
        folder.mkdir()
        workshop = make_workshop(folder)
        workshop.write('[raw.data]\nsource = "d.txt"\n[thing.a]\nbase = ["raw.data"]\n', **{"d.txt": "rows"})
        texts.append(planfile.dumps(workshop.plan(), "recipe.toml"))
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]
    assert json.loads(texts[0])["summary"]["build"] == 2


def test_a_plan_made_after_an_apply_survives_the_file(workshop: Any) -> None:
    workshop.write('[raw.data]\nsource = "d.txt"\n[thing.a]\nbase = ["raw.data"]\n', **{"d.txt": "rows"})
    workshop.apply()
    workshop.write('[raw.data]\nsource = "d.txt"\n[thing.a]\nbase = ["raw.data"]\nsteps = 6\n', **{"d.txt": "rows"})
    plan = workshop.plan()
    assert plan.changes[0].resume_from is not None
    assert planfile.loads(planfile.dumps(plan, "recipe.toml"), "p") == plan
