"""What was measured before, for the evaluations that a plan runs again."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from planner.metric_history import MOST, earlier_metrics
from state.record import Record, State
from tune.views.markdown import markdown


def dated(state: State) -> State:
    """The state with a time of its own for every record, by what it measured."""

    def at(record: Record) -> Record:
        finished = f"2026-11-{record.metrics['score']}T08:30:00Z"
        return evolve(record, provenance=evolve(record.provenance, finished=finished))

    records = {name: at(one) for name, one in state.records.items()}
    superseded = {key: evolve(one, record=at(one.record)) for key, one in state.superseded.items()}
    return evolve(state, records=records, superseded=superseded)


def edited(workshop: Any, colour: str) -> None:
    workshop.write(f'[thing.a]\ncolour = "{colour}"\n')


def test_every_earlier_result_is_told_newest_first(workshop: Any) -> None:
    for colour in ("red", "green", "ultramarine"):
        edited(workshop, colour)
        workshop.apply()
    edited(workshop, "white")
    plan, state = workshop.plan(), dated(workshop.state())
    found = earlier_metrics(plan, state, "thing")
    assert [(when[:10], metrics["score"]) for when, metrics in found["thing.a"]] == [
        ("2026-11-26", 26),
        ("2026-11-20", 20),
        ("2026-11-18", 18),
    ]
    assert earlier_metrics(plan, state, "other") == {}
    text = markdown(plan, {}, "recipe.toml", measured=found)
    assert (
        "<details><summary><code>thing.a</code> was measured before</summary>\n"
        "\n"
        "```text\n"
        "finished          score\n"
        "2026-11-26 08:30  26\n"
        "2026-11-20 08:30  20\n"
        "2026-11-18 08:30  18\n"
        "```\n"
    ) in text


def test_only_so_many_are_told_and_nothing_where_nothing_is_run_again(workshop: Any) -> None:
    for number in range(MOST + 2):
        edited(workshop, f"grey-{number}")
        workshop.apply()
    assert earlier_metrics(workshop.plan(), workshop.state(), "thing") == {}
    edited(workshop, "white")
    assert len(earlier_metrics(workshop.plan(), workshop.state(), "thing")["thing.a"]) == MOST
