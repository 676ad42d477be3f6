"""`tune doctor` on this machine, for a recipe whose sizes are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.torch, pytest.mark.slow]

GIB = 2**30


def test_sizes_are_those_of_the_plan_at_hand(quickstart: Any) -> None:
    trained = quickstart.record("train.assistant")["facts"]["trainable_parameters"]
    parameters = quickstart.record("model.tiny")["facts"]["parameters"]
    quickstart.edit("r = 16", "r = 8")  # half the adapter, which is known from the shapes of the base
    told = json.loads(quickstart.tune("doctor", "--json").stdout)
    assert told["healthy"] is True
    found = {one["name"]: one for one in told["findings"]}
    adapter = trained // 2
    checkpoints = 3 * adapter * (4 + 8)  # two that are kept and one that is being written: weights, Adam's moments
    disk = checkpoints + adapter * 4 + parameters * 4  # ... and the adapter, and the merged model
    assert found["disk"]["found"].startswith(f"{disk / GIB:.2f} GiB for checkpoints and artifacts of this plan, ")
    memory = parameters * 4 + adapter * (4 + 8)
    assert found["memory"]["found"].startswith(f"{memory / GIB:.2f} GiB to load the model of train.assistant, ")
    assert found["recipe.toml"]["found"] == "3 of 11 steps to do"
    assert found["state"]["found"].endswith(" 11 resources (.tune/state.json)")
    assert found["lock"]["found"] == "free"


def test_a_recipe_that_cannot_be_planned_is_a_problem(empty: Any) -> None:
    (empty.path / "recipe.toml").write_text("[model.base]\nsorce = 'x'\n")
    shown = empty.tune("doctor", expect=1).stdout
    assert "\nrecipe\n  problem   recipe.toml      model.base.sorce: there is no such field.\n" in shown
    assert shown.endswith("\n\n1 problem.\n")


UNFIT = """\
Warning: Unfit library [TUNE406]
  trl 2.0.0 is installed here, and trainers and their arguments are those of TRL 1; version 2
  removes some.
  hint: Install 1.16.0, with which tune was tested.
"""


def test_a_library_of_another_time_is_warned_of_beside_the_plan(
    quickstart: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickstart.edit("r = 16", "r = 8")
    fit = quickstart.tune("plan", "--json")
    (tmp_path / "trl-2.0.0.dist-info").mkdir()
    (tmp_path / "trl-2.0.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: trl\nVersion: 2.0.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    unfit = quickstart.tune("plan", "--json")
    assert (unfit.stdout, fit.stderr, unfit.stderr) == (fit.stdout, "", UNFIT)
    assert quickstart.tune("plan").stderr == quickstart.tune("validate").stderr == UNFIT
    assert quickstart.tune("apply", "--auto-approve", expect=1).stderr == UNFIT.replace("Warning", "Error")
    quickstart.edit("r = 8", "r = 16")
    assert quickstart.tune("plan").stderr == ""
