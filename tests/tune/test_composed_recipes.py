"""Composed recipes at the command line: variables, settings, matrices and YAML, in plans and in what plans remember."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tomli

from tests.tune.conftest import Folder

MATRIX = """
[train.assistant.matrix]
learning_rate = [1e-3, 2e-3]
"""
MEMBER = "train.assistant[learning_rate=0.001]"


def whole(folder: Folder, *arguments: str) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(folder.tune("plan", "--json", *arguments).stdout)
    return plan


def addresses(folder: Folder, *arguments: str) -> list[str]:
    return [step["address"] for step in whole(folder, *arguments)["steps"]]


def extend(folder: Folder, text: str) -> None:
    path = folder.path / "recipe.toml"
    path.write_text(path.read_text() + text)


@pytest.fixture
def varied(fresh: Folder) -> Folder:
    """A quickstart with two learning rates, one of which goes on."""
    extend(fresh, MATRIX)
    fresh.edit('adapter = "train.assistant"', f'adapter = "{MEMBER}"')
    return fresh


def test_a_recipe_in_yaml_is_the_same_recipe(fresh: Folder) -> None:
    before = whole(fresh)
    toml = fresh.path / "recipe.toml"
    (fresh.path / "recipe.yaml").write_text(json.dumps(tomli.loads(toml.read_text()), indent=1))
    assert fresh.tune("plan", expect=1).stderr == (
        "Error: Several recipes [TUNE005]\n"
        "  `.` holds `recipe.toml` and `recipe.yaml`.\n  hint: Name the one that is meant.\n"
    )
    toml.unlink()
    after = whole(fresh)
    assert after.pop("recipe") == {**before.pop("recipe"), "path": "recipe.yaml"}
    del before["plan_digest"], after["plan_digest"]
    assert after == before


def test_members_of_a_matrix_share_the_tokens_that_they_agree_in(varied: Folder) -> None:
    tokens = [one for one in addresses(varied) if one.startswith("tokens.assistant")]
    assert tokens == ["tokens.assistant"]
    varied.edit(MEMBER, "train.assistant[learning_rate=0.001,sequence_len=64]")
    tokens = [
        one
        for one in addresses(varied, "--set", "train.assistant.matrix.sequence_len=[64, 96]")
        if one.startswith("tokens.assistant")
    ]
    assert tokens == ["tokens.assistant[sequence_len=64]", "tokens.assistant[sequence_len=96]"]


@pytest.mark.parametrize(("held_back", "count"), [("0.0", 1), ("0.1", 2)])
def test_seeds_share_tokens_unless_they_choose_the_rows_that_are_held_back(
    varied: Folder, held_back: str, count: int
) -> None:
    settings = ("train.assistant.matrix.seed=[1, 2]", f"train.assistant.val_set_size={held_back}")
    varied.edit(MEMBER, "train.assistant[learning_rate=0.001,seed=1]")
    found = addresses(varied, *(one for setting in settings for one in ("--set", setting)))
    assert sum(one.startswith("train.assistant") for one in found) == 4
    assert sum(one.startswith("tokens.assistant") for one in found) == count


def test_a_plan_names_members_by_their_whole_addresses(varied: Folder) -> None:
    lines = varied.tune("plan", "--why", MEMBER).stdout.splitlines()
    assert lines[:2] == [f"+ {MEMBER}  build", "    because not in state yet"]
    assert lines[-1] == "    needed by merge.assistant"
    assert f"    + {MEMBER}  build\n" in varied.tune("plan").stdout


def test_a_reference_to_a_whole_matrix_is_refused_with_the_members(fresh: Folder) -> None:
    extend(fresh, MATRIX)
    assert fresh.tune("validate", expect=1).stderr == (
        "recipe.toml:56:1: Error: Unknown reference [TUNE017]\n"
        "  merge.assistant.adapter names train.assistant, which is a matrix of 2.\n"
        "  hint: Name one: train.assistant[learning_rate=0.001], train.assistant[learning_rate=0.002].\n"
    )


def test_what_is_given_is_planned_for_and_remembered(fresh: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    extend(fresh, '\n[vars]\nsteps = {}\nname = "n"\n')
    fresh.edit("seed = 1", 'seed = 1\ndescription = "${name}"')
    monkeypatch.setenv("TUNE_VAR_steps", "7")
    monkeypatch.setenv("TUNE_VAR_other", "8")
    given = ("--var", "name=mine", "--set", "train.base.max_steps=${steps}")
    plan = whole(fresh, *given)
    assert {name: plan["recipe"][name] for name in ("variables", "settings")} == {
        "variables": {"name": "mine", "steps": "7"},
        "settings": ["train.base.max_steps=${steps}"],
    }
    settings = {step["address"]: step["settings"] for step in plan["steps"]}
    assert settings["train.base"]["max_steps"] == 7
    assert settings["model.tiny"]["description"] == "mine"
    fresh.tune("plan", *given, "--out", "p.plan.json")
    monkeypatch.setenv("TUNE_VAR_steps", "9")
    refused = fresh.tune("apply", "p.plan.json", "--expect-digest", "none", expect=1).stderr
    assert refused == (
        "Error: Plan not approved [TUNE201]\n"
        f"  The plan has the digest {plan['plan_digest']}, and none was approved.\n"
        "  hint: See what changed with `tune plan`.\n"
    )
    assert fresh.tune("apply", "p.plan.json", *given, expect=1).stderr == (
        "Error: Invalid usage [TUNE400]\n"
        "  A saved plan remembers --var and --set.\n"
        "  hint: Leave them out, or make another plan.\n"
    )


def test_a_plan_is_stale_if_a_base_of_the_recipe_moves(fresh: Folder) -> None:
    recipe = (fresh.path / "recipe.toml").rename(fresh.path / "base.toml")
    recipe.with_name("recipe.toml").write_text('extends = ["base.toml"]\n[train.base]\nseed = 5\n')
    fresh.tune("plan", "--out", "p.plan.json")
    fresh.edit("learning_rate = 2e-3", "learning_rate = 3e-3", "base.toml")
    assert fresh.tune("apply", "p.plan.json", expect=1).stderr == (
        "Error: Plan is stale [TUNE200]\n"
        "  The recipe: train.base.learning_rate was 0.002 and is 0.003.\n"
        "  hint: Make a new plan: `tune plan --out FILE`.\n"
    )


def test_the_place_of_state_may_come_from_the_environment(fresh: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    extend(fresh, '\n[vars]\nteam = {}\n[state]\nurl = "states/${team}"\n')
    assert fresh.tune("state", "list", expect=1).stderr == (
        "recipe.toml:69:1: Error: Missing variable [TUNE022]\n"
        "  The variable `team` has no default, and no value was given.\n"
        "  hint: Give one with `--var team=...` or the environment variable TUNE_VAR_team.\n"
    )
    monkeypatch.setenv("TUNE_VAR_team", "blue")
    assert fresh.tune("state", "list").stdout == "The state is empty: nothing has been applied yet.\n"


@pytest.mark.parametrize("text", ["steps", "=1", ""])
def test_a_variable_without_a_value_is_no_usage(fresh: Folder, text: str) -> None:
    assert fresh.tune("plan", "--var", text, expect=1).stderr == (
        f"Error: Invalid usage [TUNE400]\n  --var `{text}` gives no value.\n  hint: Write `--var name=value`.\n"
    )
