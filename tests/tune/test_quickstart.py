"""Edits of the finished quickstart: the plan says what each costs, and apply does that and no more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.torch, pytest.mark.slow]

DOWNSTREAM = ["train.assistant", "merge.assistant", "eval.assistant"]


def rebuilt(*addresses: str) -> dict[str, str]:
    return dict.fromkeys(addresses, "rebuild")


def worked_on(done: dict[str, str]) -> dict[str, str]:
    return {address: result for address, result in done.items() if result != "reused"}


def test_nothing_is_left_to_do(quickstart: Any) -> None:
    assert quickstart.tune("plan", "--detailed-exitcode").stdout == "No changes. Your models match the recipe.\n"


def test_the_model_has_learnt_what_the_base_does_not_know(quickstart: Any) -> None:
    assert quickstart.record("eval.assistant")["metrics"]["exact_match"] >= 0.9
    quickstart.edit('model = "merge.assistant"', 'model = "train.base"')
    assert quickstart.actions() == rebuilt("eval.assistant")
    failed = quickstart.tune("apply", "--auto-approve", expect=3)
    assert "Gate failed" in failed.stderr
    assert "exact_match is 0, and the gate asks for >= 0.9" in failed.stderr
    assert quickstart.tune("plan", "--detailed-exitcode", expect=2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "num_epochs = 2\nbf16 = false\n\n[train.assistant.adapter]",
            "num_epochs = 2\nlogging_steps = 5\nbf16 = false\n\n[train.assistant.adapter]",
        ),
        ("save_steps = 50", "save_steps = 25"),
    ],
)
def test_cadence_is_only_recorded(quickstart: Any, old: str, new: str) -> None:
    quickstart.edit(old, new)
    assert quickstart.summary() == {"update": 1, "reuse": 10}
    assert worked_on(quickstart.apply()) == {"train.assistant": "updated"}
    assert quickstart.summary() == {"reuse": 11}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[merge.assistant]", "# a comment\n\n[merge.assistant]"),
        ('adapter = "train.assistant"\ndtype = "float32"', 'dtype = "float32"\nadapter = "train.assistant"'),
        ("num_epochs = 3", "num_epochs = 3\nweight_decay = 0.0"),
        ("num_epochs = 3", "num_epochs = 3.0"),
        ("lora_alpha = 32", "lora_alpha = 32.0"),
    ],
)
def test_what_means_the_same_changes_nothing(quickstart: Any, old: str, new: str) -> None:
    quickstart.edit(old, new)
    assert quickstart.summary() == {"reuse": 11}


def test_a_learning_rate_retrains_what_it_reaches(quickstart: Any) -> None:
    quickstart.edit("learning_rate = 1e-3", "learning_rate = 5e-4")
    assert quickstart.actions() == rebuilt(*DOWNSTREAM)
    reason = quickstart.step("train.assistant")["reasons"][0]
    assert (reason["field"], reason["before"], reason["after"]) == ("learning_rate", 0.001, 0.0005)
    assert worked_on(quickstart.apply()) == dict.fromkeys(DOWNSTREAM, "rebuilt")
    assert quickstart.summary() == {"reuse": 11}
    quickstart.edit("learning_rate = 5e-4", "learning_rate = 1e-3")
    assert quickstart.actions() == dict.fromkeys(DOWNSTREAM, "adopt")
    assert worked_on(quickstart.apply()) == dict.fromkeys(DOWNSTREAM, "adopted")


def test_one_more_row_is_one_more_training(quickstart: Any) -> None:
    chats = quickstart.path / "data" / "chats.jsonl"
    chats.write_text(chats.read_text() + chats.read_text().splitlines()[0] + "\n")
    assert quickstart.actions() == {"dataset.chats": "update", **rebuilt("tokens.assistant", *DOWNSTREAM)}
    assert worked_on(quickstart.apply()) == {
        "dataset.chats": "recorded",
        **dict.fromkeys(["tokens.assistant", *DOWNSTREAM], "rebuilt"),
    }


def test_the_same_rows_written_differently_train_nothing(quickstart: Any) -> None:
    chats = quickstart.path / "data" / "chats.jsonl"
    rows = [json.loads(line) for line in chats.read_text().splitlines()]
    swapped = [[dict(reversed(list(one.items()))) for one in row["messages"]] for row in rows]
    written = [json.dumps({"messages": messages}, separators=(" , ", " : ")) for messages in swapped]
    chats.write_text("\n".join(written) + "\n")
    assert quickstart.actions() == {"dataset.chats": "update", **rebuilt("tokens.assistant", *DOWNSTREAM)}
    shown = quickstart.tune("apply", "--auto-approve").stdout
    assert "tokens.assistant: rebuilt" in shown
    assert "the output is the same as before" in shown
    assert "train.assistant: reused; its inputs came out the same as before" in shown
    assert quickstart.summary() == {"reuse": 11}


def test_a_merge_dtype_merges_and_measures_again(quickstart: Any) -> None:
    quickstart.edit('dtype = "float32"', 'dtype = "bfloat16"')
    assert quickstart.actions() == rebuilt("merge.assistant", "eval.assistant")
    assert worked_on(quickstart.apply()) == dict.fromkeys(["merge.assistant", "eval.assistant"], "rebuilt")


def test_a_renamed_dataset_rebuilds_nothing(quickstart: Any) -> None:
    recipe = quickstart.path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("dataset.chats", "dataset.talk"))
    assert quickstart.actions() == {"dataset.talk": "build", "dataset.chats": "forget"}
    assert worked_on(quickstart.apply()) == {"dataset.talk": "recorded", "dataset.chats": "forgotten"}
    assert quickstart.summary() == {"reuse": 11}


def weights(folder: Any, address: str, name: str) -> bytes:
    path = Path(folder.tune("output", address).stdout.strip())
    return (path / name).read_bytes()


def test_a_longer_run_at_a_constant_rate_is_extended_to_the_same_bits(quickstart: Any) -> None:
    end = "\nbf16 = false\n\n[train.assistant.adapter]"
    quickstart.edit(f"num_epochs = 2{end}", f"num_epochs = 3{end}")
    step = quickstart.step("train.assistant")
    assert (step["action"], step["resume_from"]["step"]) == ("extend", 100)
    alone = ("--target", "train.assistant")
    assert worked_on(quickstart.apply(*alone))["train.assistant"] == "extended"
    extended = weights(quickstart, "train.assistant", "adapter_model.safetensors")
    for made in ("artifacts", "checkpoints"):
        shutil.rmtree(quickstart.path / ".tune" / made / "train" / "assistant")
    quickstart.edit("save_steps = 50", "save_steps = 1000")
    assert worked_on(quickstart.apply(*alone))["train.assistant"] == "rebuilt"
    assert quickstart.record("train.assistant")["facts"]["resumed_from"] == 0
    assert weights(quickstart, "train.assistant", "adapter_model.safetensors") == extended


def test_a_longer_run_on_a_cosine_is_trained_anew_and_says_why(quickstart: Any) -> None:
    quickstart.edit("num_epochs = 3", "num_epochs = 4")
    step = quickstart.step("train.base")
    assert step["action"] == "rebuild"
    refusal = next(reason for reason in step["reasons"] if reason["code"] == "schedule_differs")
    assert refusal["before"] != refusal["after"]
    shown = quickstart.tune("plan").stdout
    assert "cannot be continued: the learning rate of step" in shown


def test_all_metrics_of_answers_and_tokens_are_measured_together_and_gated(quickstart: Any) -> None:
    before = quickstart.record("eval.assistant")["metrics"]["exact_match"]
    (quickstart.path / "own.py").write_text(
        "def dashes(answers, references, questions):\n"
        "    return {'dashes': sum(one.count('-') for one in answers) / len(questions)}\n"
    )
    own = '["token_accuracy", "exact_match", "f1", "bleu", "rougeL", "./own.py:dashes"]'
    quickstart.edit('["perplexity", "exact_match"]', own)
    quickstart.edit('exact_match = ">= 0.9"', 'exact_match = ">= last"\nf1 = ">= 0.9"\nbleu = "< 2"\ndashes = ">= 1.5"')
    assert worked_on(quickstart.apply()) == {"eval.assistant": "rebuilt"}
    metrics = quickstart.record("eval.assistant")["metrics"]
    assert sorted(metrics) == ["answers", "bleu", "dashes", "exact_match", "f1", "rougeL", "token_accuracy"]
    assert f"exact_match {before:.4g}" in quickstart.tune("state", "show", "eval.assistant").stdout
    # An ISO date is one word to F1, once its hyphens are gone, and five tokens to BLEU.
    assert metrics["f1"] == metrics["exact_match"]
    assert metrics["rougeL"] >= metrics["f1"]
    quickstart.edit('bleu = "< 2"', 'bleu = "> 2"')
    said = quickstart.tune("apply", "--auto-approve", expect=3).stderr
    assert "and the gate asks for > 2" in " ".join(said.split())
    quickstart.edit('bleu = "> 2"', 'bleu = "< 2"')
    (quickstart.path / "own.py").write_text("def dashes(answers, references): return 1 / 0")
    assert quickstart.actions()["eval.assistant"] == "rebuild"
    assert "ZeroDivisionError" in quickstart.tune("apply", "--auto-approve", expect=1).stderr
