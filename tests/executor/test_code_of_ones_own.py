"""Code that a run names is known by its text: where it decides what comes out, another text is another training."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from executor import kinds
from planner.desired import Desired
from planner.diff import Action, Change, change
from planner.kind import Probe
from planner.recipe import parse
from planner.schedule import Schedule
from planner.situation import Situation
from planner.structure import settings_of
from state.record import Record, Status
from tests.executor.test_train_fields import CHECKPOINT, LOCAL, NOTHING_AROUND

RECIPE = """\
[model.tiny]
source = "tiny"
[dataset.rows]
source = "rows.jsonl"
[train.it]
model = "model.tiny"
datasets = ["dataset.rows"]
learning_rate = 1e-3
"""
MEASURED = 'method = "sft"\nval_set_size = 0.1\nevaluation = { metrics = ["own.py:score"]'
RUNS = {
    "rewards": ('method = "grpo"\nreward_functions = ["own.py:score"]', True),
    "a metric that ends the run": (
        f'{MEASURED}, early_stopping_patience = 1, metric_for_best_model = "score" }}',
        True,
    ),
    "a metric to look at": (f"{MEASURED} }}", False),
}


def planned(folder: Path, lines: str, status: Status) -> Change:
    """What a plan does about a run after its code was edited."""
    recipe = parse(RECIPE + lines, "recipe.toml", kinds.load())
    resource = recipe.resources["train.it"]
    around = attrs.evolve(NOTHING_AROUND, folder=folder, resources=recipe.resources)
    (folder / "own.py").write_text("def score(*_, **__):\n    return [1.0]\n")
    before: Probe = resource.kind.probe(resource, around)
    (folder / "own.py").write_text("def score(*_, **__):\n    return [0.5]\n")
    after: Probe = resource.kind.probe(resource, attrs.evolve(around, digests=type(around.digests)()))
    settings = settings_of(resource.specification)
    made = Record("train", settings, before.content, {}, 1, "", status, "made" * (status is Status.READY))
    made = attrs.evolve(made, checkpoints=(CHECKPOINT,))
    wanted = Desired("train.it", "train", settings, after.content, {}, 1, type(resource.specification))
    constant = attrs.evolve(resource.kind, schedule=lambda *_: Schedule("constant", 1.0, 0, 100))
    return change(Situation(constant, wanted, {}, {}, {}, made, {}, LOCAL))


@pytest.mark.parametrize("name", RUNS)
def test_another_text_is_another_training_where_it_decides(tmp_path: Path, name: str) -> None:
    lines, decides = RUNS[name]
    finished, unfinished = (planned(tmp_path, lines, one) for one in (Status.READY, Status.INTERRUPTED))
    assert finished.action is (Action.REBUILD if decides else Action.REUSE)
    assert (unfinished.action, unfinished.resume_from) == (
        (Action.BUILD, None) if decides else (Action.RESUME, CHECKPOINT)
    )
