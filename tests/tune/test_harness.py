"""Tasks of lm-evaluation-harness: measured where it is installed, refused before anything is built where it is not."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

INSTALLED = find_spec("lm_eval") is not None
RECIPE = """\
[model.tiny]
tokenizer = "tokenizer"
config = { model_type = "llama", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }

[eval.tasks]
model = "model.tiny"
tasks = ["capitals", "dates"]
task_folder = "tasks"
limit = 2
apply_chat_template = true
[eval.tasks.gate]
"capitals/acc" = ">= 0"
"dates/exact_match" = ">= last"
"""
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: tasks/{name}.jsonl}}}}
test_split: test
output_type: {output}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
{more}
metadata: {{version: 3}}
"""
CHOICES = "doc_to_choice: choices\nmetric_list: [{metric: acc}]"
WRITTEN = "generation_kwargs: {until: ['\\n'], max_gen_toks: 4}\nmetric_list: [{metric: exact_match}]"


def rows(path: Path, *questions: str) -> None:
    choices = {"choices": ["Paris", "Rome"], "answer": 0}
    path.write_text("".join(json.dumps({"question": one, **choices}) + "\n" for one in questions))


@pytest.fixture
def folder(fresh: Any) -> Any:
    (fresh.path / "recipe.toml").write_text(RECIPE)
    tasks = fresh.path / "tasks"
    tasks.mkdir()
    (tasks / "capitals.yaml").write_text(TASK.format(name="capitals", output="multiple_choice", more=CHOICES))
    (tasks / "dates.yaml").write_text(TASK.format(name="dates", output="generate_until", more=WRITTEN))
    rows(tasks / "capitals.jsonl", "France's?", "Gaul's?", "Texas'?")
    rows(tasks / "dates.jsonl", "When?")
    return fresh


def kept(folder: Any) -> list[dict[str, Any]]:
    """The rows of one task, as the artifact has them."""
    artifact = folder.tune("output", "eval.tasks").stdout.strip()
    return [json.loads(line) for line in Path(artifact, "tasks", "capitals.jsonl").read_text().splitlines()]


@pytest.mark.skipif(INSTALLED, reason="lm-evaluation-harness is installed")
def test_without_the_harness_nothing_is_begun(folder: Any) -> None:
    assert folder.tune("validate").returncode == 0
    assert folder.tune("apply", "--auto-approve", expect=1).stderr == (
        "Error: Missing library [TUNE402]\n"
        "  eval.tasks measures tasks of lm-evaluation-harness, which is not installed.\n"
        "  hint: Install it: `pip install lm-eval`.\n"
    )
    assert folder.summary() == {"build": 2}


@pytest.mark.skipif(not INSTALLED, reason="needs lm-evaluation-harness: pip install lm-eval")
@pytest.mark.torch
@pytest.mark.slow
def test_tasks_are_measured_kept_and_measured_again_when_their_rows_change(folder: Any) -> None:
    folder.apply()
    record = folder.record("eval.tasks")
    assert record["facts"] == {"tasks": {"capitals": "3", "dates": "3"}}
    assert "lm_eval" in record["provenance"]["versions"]
    assert record["metrics"].keys() == {"capitals/acc", "capitals/acc_stderr", "dates/exact_match"}
    asked = [one["arguments"][0][0] for one in kept(folder)]
    assert ["Gaul's?" in one for one in asked] == [False, True]
    assert all("<|im_start|>" in one for one in asked)
    assert folder.summary() == {"reuse": 2}
    rows(folder.path / "tasks" / "capitals.jsonl", "Rome's?")
    assert folder.actions() == {"eval.tasks": "rebuild"}
    folder.apply()
    assert [one["doc"]["question"] for one in kept(folder)] == ["Rome's?"]
    folder.edit('"dates"]', '"dats"]')
    assert "hint: Did you mean `dates`?" in folder.tune("apply", "--auto-approve", expect=1).stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('task_folder = "tasks"', 'task_folder = "nowhere"', "eval.tasks.task_folder: `nowhere` is no folder."),
        ('tasks = ["capitals", "dates"]\n', "", "eval.tasks.metrics: there is nothing to measure."),
        ('tasks = ["capitals", "dates"]\n', "", "eval.tasks.limit: it has no meaning without `tasks`."),
        ("limit = 2", 'metrics = ["f1"]', "eval.tasks.datasets: metrics are measured on rows, and there are none."),
        ("limit = 2", "limit = -2", "eval.tasks.limit: expected a number of 0 or more, got -2."),
        ('"capitals/acc"', "acc", "eval.tasks.gate.acc: it is not among the metrics of this evaluation."),
    ],
)
def test_what_cannot_be_meant_is_refused(folder: Any, old: str, new: str, said: str) -> None:
    folder.edit(old, new)
    assert said in folder.tune("plan", expect=1).stderr
