"""`[policy]`: limits of hours, cost, commits; what cannot be told is said, not guessed."""

from __future__ import annotations

import pytest
from attrs import evolve

from planner.desired import Desired
from planner.kind import Resource
from planner.plan import Selection
from planner.policy import Hardware, Limits, Policy, exceeded
from planner.recipe import parse
from state.change import put
from state.diagnostic import Diagnostic, Place, ProblemError, Severity
from state.record import State, Status
from tests.fake_kinds import KINDS, RECIPE, Raw, Workshop

EDITED = RECIPE.replace("[thing.base]", '[thing.base]\ncolour = "blue"')
PRICED = "[hardware.cheap]\nhourly_price = 1\n[hardware.dear]\nhourly_price = 2.5\n"


def took(workshop: Workshop, **hours: float) -> State:
    """The state as if things had taken so many GPU-hours."""
    state = workshop.state()
    for name, one in hours.items():
        record = state.records[f"thing.{name}"]
        provenance = evolve(record.provenance, seconds=one * 900, gpu_seconds=one * 3600)
        state = put(state, f"thing.{name}", evolve(record, provenance=provenance))
    return state


def refused(workshop: Workshop, policy: str, state: State, selection: Selection | None = None) -> list[Diagnostic]:
    workshop.write(f"{policy}\n{EDITED}")
    try:
        return [*workshop.plan(state, selection or Selection()).diagnostics]
    except ProblemError as error:
        return [*error.diagnostics]


def test_what_takes_longer_than_allowed_is_refused_with_its_parts(finished: Workshop) -> None:
    state = took(finished, base=30, top=12)
    assert refused(finished, "[policy]\nmax_gpu_hours = 40", state) == [
        Diagnostic(
            "Policy",
            "The plan takes about 42 GPU-hours, and 40 are allowed: thing.base 30, thing.top 12.",
            "Raise the limit, or do less at once with `--target` or `--exclude`.",
            Place("recipe.toml", 2, 1),
        )
    ]
    assert refused(finished, "[policy]\nmax_gpu_hours = 42", state) == []
    assert refused(finished, "[policy]\nmax_gpu_hours = 40", state, Selection(exclude=("thing.top",))) == []


def test_cost_counts_the_dearest_hardware(finished: Workshop) -> None:
    state = took(finished, base=30, top=12)
    assert refused(finished, f"[policy]\nmax_cost = 100\n{PRICED}", state) == [
        Diagnostic(
            "Policy",
            "The plan costs about 105, and 100 is allowed. GPU-hours: thing.base 30 at 2.5, thing.top 12 at 2.5.",
            "Raise the limit, or do less at once with `--target` or `--exclude`.",
            Place("recipe.toml", 2, 1),
        )
    ]
    assert refused(finished, f"[policy]\nmax_cost = 105\n{PRICED}", state) == []


def test_what_was_done_on_a_gpu_costs_what_that_costs(finished: Workshop) -> None:
    state = took(finished, base=30, top=12)
    record = state.records["thing.top"]
    on = evolve(record, provenance=evolve(record.provenance, hardware="4 x NVIDIA H100 80GB HBM3"))
    named = PRICED.replace("= 1\n", '= 1\ngpu = "H100-80GB"\n').replace("= 2.5\n", '= 2.5\ngpu = "A100"\n')
    assert [
        one.detail for one in refused(finished, f"[policy]\nmax_cost = 80\n{named}", put(state, "thing.top", on))
    ] == ["The plan costs about 87, and 80 is allowed. GPU-hours: thing.base 30 at 2.5, thing.top 12 at 1."]


@pytest.mark.parametrize(
    ("gpu", "device", "is_such"),
    [
        ("H100-80GB", "4 x NVIDIA H100 80GB HBM3", True),
        ("h100", "NVIDIA H100 80GB HBM3", True),
        ("A100-80GB", "8 x NVIDIA A100-SXM4-80GB", True),
        ("H100-80GB", "NVIDIA H100 NVL", False),
        ("A10", "NVIDIA A100-SXM4-80GB", False),
        ("", "cpu (x86_64, AVX512)", False),
        ("H100", "", False),
    ],
)
def test_a_gpu_is_known_by_the_words_of_its_name(gpu: str, device: str, *, is_such: bool) -> None:
    assert Hardware(gpu=gpu).is_of(device) is is_such


def test_what_was_never_made_is_not_counted_and_that_is_said(workshop: Workshop) -> None:
    workshop.write(f"[policy]\nmax_gpu_hours = 1\n{RECIPE}", **{"data.txt": "one"})
    assert workshop.plan().diagnostics == (
        Diagnostic(
            "Policy not checked",
            "Nobody knows yet how long these take, so they are not counted: thing.base, thing.top.",
            place=Place("recipe.toml", 2, 1),
            severity=Severity.WARNING,
        ),
    )


def test_what_was_only_begun_is_not_counted_as_little(finished: Workshop) -> None:
    state = took(finished, base=0.1, top=0.1)
    record = state.records["thing.base"]
    begun = put(state, "thing.base", evolve(record, status=Status.INTERRUPTED, output_digest=""))
    assert [one.detail for one in refused(finished, "[policy]\nmax_gpu_hours = 40", begun)] == [
        "Nobody knows yet how long these take, so they are not counted: thing.base."
    ]


@pytest.mark.parametrize(("resumed_from", "hours"), [(0, 3), (10, 6), (15, 12), (20, None)])
def test_a_run_that_was_gone_on_with_counts_whole(finished: Workshop, resumed_from: int, hours: float | None) -> None:
    state = took(finished, base=3)
    record = evolve(state.records["thing.base"], metrics={"steps": 20}, facts={"resumed_from": resumed_from})
    finished.write(EDITED)
    estimate = finished.plan(put(state, "thing.base", record)).steps[1].estimate
    assert estimate.get("gpu_seconds") == (None if hours is None else hours * 3600)


def test_a_plan_without_work_exceeds_nothing(finished: Workshop) -> None:
    finished.write(f"[policy]\nmax_gpu_hours = 0.001\n{RECIPE}")
    assert finished.plan().diagnostics == ()


def test_a_policy_changes_no_identity(finished: Workshop) -> None:
    before = finished.plan().recipe_digest
    finished.write(f"[policy]\nmax_gpu_hours = 5\n{PRICED}{RECIPE}")
    assert (finished.actions(), finished.plan().recipe_digest) == ({}, before)


def test_a_commit_that_the_recipe_does_not_name_is_refused(finished: Workshop) -> None:
    plan = finished.plan()
    place = Place("recipe.toml", 2, 1)
    strict = Limits(Policy(require_pinned_revisions=True))

    def found(revision: str) -> list[Diagnostic]:
        one = Desired("raw.data", "raw", {"revision": revision}, {"commit": "d04e"}, {}, 1, Raw)
        written = Resource("raw.data", KINDS["raw"], Raw("rows.txt"), {"revision": place})
        return exceeded(plan, [one], {"raw.data": written}, strict, {})

    assert found("main") == [
        Diagnostic(
            "Policy",
            "raw.data comes from a hub without a commit: what is there can change.",
            'Write `revision = "d04e"`, which is what it is now.',
            place,
        )
    ]
    assert found("d04e") == []


@pytest.mark.parametrize(
    ("text", "detail", "line"),
    [
        ("[policy]\nmax_gpu_hour = 3", "policy.max_gpu_hour: there is no such field.", 2),
        ("[policy]\nmax_gpu_hours = 0", "policy.max_gpu_hours: expected a number above 0, got 0.0.", 2),
        ("[hardware.a]\nhourly_price = 'much'", 'hardware.a.hourly_price: expected a number, got "much".', 2),
        ("[hardware.a]\ngpus = 0", "hardware.a.gpus: expected a number above 0, got 0.", 2),
        (
            "[policy]\nmax_cost = 3\n[hardware.a]\ngpus = 8",
            "`policy.max_cost` needs the price of a GPU for an hour, and the recipe names none.",
            2,
        ),
        (
            "[policy]\nmax_cost = 3",
            "`policy.max_cost` needs the price of a GPU for an hour, and the recipe names none.",
            2,
        ),
        ("policy = 3", "`policy` must be a table.", 1),
        ("hardware = 3", "`hardware` must hold named tables.", 1),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, detail: str, line: int) -> None:
    with pytest.raises(ProblemError) as caught:
        parse(f"{text}\n[thing.a]\n", "recipe.toml", KINDS)
    (found,) = caught.value.diagnostics
    assert (found.detail, found.place) == (detail, Place("recipe.toml", line, 1))
