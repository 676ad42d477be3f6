"""Plans that are saved, shown, approved by digest, and refused when what they depend on has moved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


def test_a_saved_plan_is_shown_as_it_was_printed(fresh: Any) -> None:
    printed = fresh.tune("plan", "--out", "p.plan.json").stdout
    assert fresh.tune("show", "p.plan.json").stdout == printed
    shown = json.loads(fresh.tune("show", "p.plan.json", "--json").stdout)
    assert shown == json.loads(fresh.tune("plan", "--json").stdout)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "recipe.toml",
            "learning_rate = 1e-3",
            "learning_rate = 1e-4",
            "The recipe: train.assistant.learning_rate was 0.001 and is 0.0001.",
        ),
        ("data/chats.jsonl", "{", " {", "The data: data/chats.jsonl of dataset.chats has changed."),
    ],
)
def test_a_plan_is_refused_when_recipe_or_data_moved(fresh: Any, file: str, old: str, new: str, said: str) -> None:
    fresh.tune("plan", "--out", "p.plan.json")
    fresh.edit(old, new, file)
    refused = fresh.tune("apply", "p.plan.json", expect=1)
    assert "Error: Plan is stale" in refused.stderr
    assert said in refused.stderr
    assert not (fresh.path / ".tune").exists()


@pytest.mark.torch
@pytest.mark.slow
def test_a_plan_is_refused_when_the_state_moved(quickstart: Any) -> None:
    quickstart.edit("save_steps = 50", "save_steps = 25")
    quickstart.tune("plan", "--out", "p.plan.json")
    quickstart.tune("apply", "p.plan.json")
    refused = quickstart.tune("apply", "p.plan.json", expect=1)
    assert "The state: train.assistant was to be `update` and would now be `reuse`" in refused.stderr


def test_only_the_approved_plan_is_applied(fresh: Any) -> None:
    digest = json.loads(fresh.tune("plan", "--json").stdout)["plan_digest"]
    refused = fresh.tune("apply", "--expect-digest", "0000", expect=1)
    assert f"The plan has the digest {digest}, and 0000 was approved." in refused.stderr


def test_a_damaged_plan_and_another_file_are_told_apart(fresh: Any) -> None:
    fresh.tune("plan", "--out", "p.plan.json")
    fresh.edit('"seed": 1', '"seed": 2', "p.plan.json")
    assert "Error: Damaged plan" in fresh.tune("apply", "p.plan.json", expect=1).stderr
    (fresh.path / "other.json").write_text("{}")
    assert "Error: Not a plan" in fresh.tune("show", "other.json", expect=1).stderr


def test_the_same_recipe_in_two_folders_is_the_same_plan(fresh: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else" / "where"
    shutil.copytree(fresh.path, elsewhere)
    here = fresh.tune("plan", "--json").stdout
    there = fresh.tune("plan", str(elsewhere), "--json").stdout
    assert here == there


def test_an_approved_plan_keeps_its_digest_while_the_state_moves_elsewhere(empty: Any) -> None:
    first, second = (f'[dataset.{name}]\nsource = "rows.jsonl"\ntype = "completion"\n' for name in "ab")
    (empty.path / "rows.jsonl").write_text('{"text": "one"}\n')

    def write(*tables: str) -> None:
        (empty.path / "recipe.toml").write_text("".join(tables))

    write(first, second)
    empty.tune("apply", "--auto-approve")
    write(first, second, 'description = "approved"\n')
    empty.tune("plan", "--out", "p.plan.json")
    approved = json.loads(empty.tune("show", "p.plan.json", "--json").stdout)["plan_digest"]
    for note in ("another", ""):
        write(first, f'description = "{note}"\n', second)
        empty.tune("apply", "--auto-approve")
    added = '[dataset.c]\nsource = "rows.jsonl"\ntype = "completion"\n'
    write(added, first, second, 'description = "approved"\n')
    applied = empty.tune("apply", "p.plan.json", "--expect-digest", approved)
    assert applied.stderr == "Changed since the plan was made, and left for another one: dataset.c.\n"
    assert empty.record("dataset.b")["settings"]["description"] == "approved"
    assert empty.actions() == {"dataset.c": "build"}
