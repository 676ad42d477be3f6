"""A teacher must mean the same tokens: one that does not is refused by the plan, or at the latest before a step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import evolve

from executor import kinds
from executor.training.shared_vocabulary import difference
from planner.recipe import parse
from state.diagnostic import ProblemError
from tests.executor.test_methods import Bench, bench, run
from tests.executor.test_train_fields import NOTHING_AROUND
from tests.executor.test_training import _keep_handler, laboratory

__all__ = ["_keep_handler", "bench", "laboratory"]

RECIPE = """\
[model.small]
source = "small"

[model.large]
config = { model_type = "llama" }
tokenizer = "large"

[dataset.asked]
source = "asked.jsonl"
type = "prompt"

[train.it]
method = "distillation"
model = "model.small"
teacher = "model.large"
datasets = ["dataset.asked"]
learning_rate = 1e-3
"""


def write(folder: Path, vocabulary: Any, *added: dict[str, Any]) -> None:
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": added}))


@pytest.mark.parametrize(
    ("vocabulary", "told"),
    [
        ({"a": 0, "b": 1, "<end>": 2}, ""),
        ([["a", -1.5], ["b", -2.5], ["<end>", 0.0]], ""),
        ({"a": 0, "c": 1, "<end>": 2}, 'the token "b" is id 1 to the model and no token to the teacher'),
        ({"a": 1, "b": 0, "<end>": 2}, 'the token "a" is id 0 to the model and id 1 to the teacher'),
        ({"a": 0, "b": 1, "<end>": 2, "é": 3}, 'the token "é" is no token to the model and id 3 to the teacher'),
    ],
    ids=["the same", "the same as a list", "another token", "another order", "one more"],
)
def test_a_plan_compares_what_can_be_read(tmp_path: Path, vocabulary: Any, told: str) -> None:
    write(tmp_path / "small", {"a": 0, "b": 1}, {"content": "<end>", "id": 2})
    write(tmp_path / "large", vocabulary)
    resources = parse(RECIPE, "recipe.toml", kinds.load()).resources
    around = attrs.evolve(NOTHING_AROUND, folder=tmp_path, resources=resources)
    found = resources["train.it"].kind.probe(resources["train.it"], around).diagnostics
    assert [one.detail for one in found] == ([f"train.it.teacher: {told}."] if told else [])
    assert [one.place.line for one in found] == ([15] if told else [])


def test_tokens_are_looked_through_in_the_order_of_their_ids() -> None:
    assert difference({"z": 0, "a": 1}, {"z": 1, "a": 0}).startswith('the token "z" is id 0')


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_a_teacher_of_as_many_other_tokens_teaches_nothing(bench: Bench) -> None:
    """Where only numbers are compared, as TRL does, it would teach nonsense."""
    task, folder = bench.task("distillation full"), bench.laboratory.folder / "other teacher"
    shutil.copytree(bench.teacher().folder, folder)
    told = json.loads((folder / "tokenizer.json").read_bytes())
    ids = told["model"]["vocab"]
    ids["a"], ids["e"] = ids["e"], ids["a"]
    (folder / "tokenizer.json").write_text(json.dumps(told))
    other = evolve(task.one("teacher"), folder=str(folder))
    with pytest.raises(ProblemError) as error:
        run(evolve(task, inputs={**task.inputs, "teacher": (other,)}))
    (found,) = error.value.diagnostics
    first, second = sorted([ids["e"], ids["a"]])
    assert found.detail in {
        f'The token "{token}" is id {first} to the model and id {second} to the teacher.' for token in "ae"
    }
