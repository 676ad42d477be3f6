"""The example that learns from preferences, planned and previewed as a person does; and what such recipes get wrong."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def preference(empty: Any, tmp_path: Path) -> Any:
    """A copy of the example, with the tokenizer that it borrows."""
    ignored = shutil.ignore_patterns(".tune")
    shutil.copytree(EXAMPLES / "preference", empty.path, ignore=ignored, dirs_exist_ok=True)
    (tmp_path / "quickstart").mkdir(exist_ok=True)
    shutil.copytree(EXAMPLES / "quickstart" / "tokenizer", empty.path.parent / "quickstart" / "tokenizer")
    return empty


def test_it_is_planned_in_the_order_of_its_chain(preference: Any) -> None:
    chain = ["tokens.sft", "train.sft", "tokens.dpo", "train.dpo", "merge.polite"]
    assert [one for one in preference.actions() if one in chain] == chain


def test_its_data_is_what_its_script_makes(tmp_path: Path) -> None:
    folder = EXAMPLES / "preference"
    made = runpy.run_path(str(folder / "make_data.py"))
    made["main"].__globals__["DATA"] = tmp_path
    made["main"]()
    for name in ("chats.jsonl", "pairs.jsonl"):
        assert (tmp_path / name).read_bytes() == (folder / "data" / name).read_bytes()


def test_a_pair_is_previewed_answer_by_answer(preference: Any) -> None:
    said = preference.tune("preview", "train.dpo", "--rows", "1").stdout
    assert said.endswith(
        "Row 1  data/pairs.jsonl:1  51 tokens, 43 with the longer answer, 30 trained\n"
        "    <|im_start|>user⏎\n"
        "    Give me the ISO date for 21 July 2010.<|im_end|>⏎\n"
        "    <|im_start|>assistant⏎\n"
        "    chosen: ⟦Please: 2010-07-21. Thank you.<|im_end|>⏎\n"
        "    ⟧\n"
        "    rejected: ⟦2010-07-21<|im_end|>⏎\n"
        "    ⟧\n"
    )


WRONG = """
sample_packing = true
roles_to_train = ["user"]
excess_length_strategy = "split"
loss_type = ["sigmoid", "sft"]
loss_weights = [1.0]
label_smoothing = 0.1
trainer = {beta = 0.2, sync_ref_model = true}
"""
SAID = (
    (
        "train.dpo.sample_packing: dpo learns from a pair of answers a row, and several rows cannot share one. "
        "hint: Remove it."
    ),
    (
        "train.dpo.roles_to_train: dpo learns from a pair of answers a row, whose answers are trained whole. "
        "hint: Remove it."
    ),
    (
        'train.dpo.excess_length_strategy: "split" is for completion and pretrain, and dataset.pairs is of the type '
        "preference."
    ),
    "train.dpo.loss_weights: 1 weights for 2 losses. hint: Give one for each.",
    "train.dpo.label_smoothing: none of the losses has it. hint: It is for exo_pair, robust, aot, aot_unpaired.",
    (
        "train.dpo.adapter.lora_dropout: it does nothing while `disable_dropout` is true. "
        "hint: Remove it, or set disable_dropout = false."
    ),
    (
        "train.dpo.adapter.init_lora_weights: the reference is the model with the adapter switched off, and such a "
        'start changes that model. hint: Use "default".'
    ),
    "train.dpo.trainer.beta: the recipe has a field of its own for this. hint: Use `beta`.",
    "train.dpo.trainer.sync_ref_model: tune decides this itself. hint: Remove it.",
)


def refused(folder: Any) -> str:
    """What a plan says that is refused, as one line."""
    return " ".join(folder.tune("plan", expect=1).stderr.split())


def test_what_does_not_fit_the_method_is_told_all_at_once(preference: Any) -> None:
    preference.edit("beta = 0.1", WRONG)
    preference.edit("r = 8", 'r = 8\nlora_dropout = 0.1\ninit_lora_weights = "pissa"')
    said = refused(preference)
    assert [one for one in SAID if one not in said] == []


def test_each_method_says_on_which_rows_it_trains(preference: Any) -> None:
    preference.edit('datasets = ["dataset.chats"]', 'datasets = ["dataset.other"]')
    preference.edit('datasets = ["dataset.pairs"]', 'datasets = ["dataset.chats"]')
    preference.edit('datasets = ["dataset.other"]', 'datasets = ["dataset.pairs"]')
    preference.edit("beta = 0.1", 'loss_type = "exo_pair"')
    said = refused(preference)
    assert (
        "dataset.chats is of the type chat_template, which dpo cannot train on. hint: It trains on preference." in said
    )
    assert "dataset.pairs is of the type preference, which sft cannot train on." in said
    assert "train.dpo.label_smoothing: exo_pair needs some. hint: Its paper takes 0.001." in said


@pytest.mark.parametrize(
    ("method", "instead"),
    [
        (
            "ppo",
            "TRL has removed PPO: use grpo or rloo, which learn from rewards without a value model.",
        ),
        (
            "gkd",
            (
                "Use distillation, which learns from the model's own answers as GKD does with lmbda = 1. To learn from "
                "answers that a teacher wrote before, train on them with sft."
            ),
        ),
    ],
)
def test_a_method_that_is_not_there_is_told_with_what_takes_its_place(
    preference: Any, method: str, instead: str
) -> None:
    preference.edit('method = "dpo"', f'method = "{method}"')
    assert f"train.dpo.method: there is no method '{method}'. hint: {instead}" in refused(preference)
