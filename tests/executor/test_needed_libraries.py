"""What a training needs beside what every one takes: known from its settings, and asked for before the first step."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from attrs import evolve

from executor import kinds
from executor.doctor.tested_versions import NEEDED
from executor.kinds.train import lacks
from executor.training.needed_libraries import MODULES, needed
from executor.training.optimizers import OPTIMIZERS
from planner.recipe import parse
from planner.structure import settings_of
from state.canonical import Plain
from tests.executor.test_stage_faults import RECIPE
from tests.executor.test_train_fields import NOTHING_AROUND

LIBRARIES = {
    "": [],
    'distributed = { strategy = "deepspeed" }': ['distributed.strategy = "deepspeed" needs deepspeed'],
    'distributed = { strategy = "fsdp" }': [],
    'adapter = { type = "qlora" }': ['adapter.type = "qlora" needs bitsandbytes'],
    "adapter = {}\nload_in_8bit = true": ["load_in_8bit = true needs bitsandbytes"],
    "adapter = {}\nload_in_4bit = true": ["load_in_4bit = true needs bitsandbytes"],
    'optimizer = "lion_32bit"': ['optimizer = "lion_32bit" needs bitsandbytes'],
    'optimizer = "ademamix"': ['optimizer = "ademamix" needs bitsandbytes'],
    'optimizer = "stable_adamw"': ['optimizer = "stable_adamw" needs optimi'],
    'optimizer = "galore_adamw_8bit"\noptim_target_modules = "all-linear"': [
        'optimizer = "galore_adamw_8bit" needs galore-torch',
        'optimizer = "galore_adamw_8bit" needs bitsandbytes',
    ],
    'attn_implementation = "flash_attention_3"': [
        'attn_implementation = "flash_attention_3" needs flash-attn-interface'
    ],
    'attn_implementation = "auto"': [],
    "use_liger_kernel = true": ["use_liger_kernel = true needs liger-kernel"],
    'logging = { report_to = ["wandb", "tensorboard"] }': [
        'logging.report_to = ["wandb"] needs wandb',
        'logging.report_to = ["tensorboard"] needs tensorboard',
    ],
}
"""What a recipe says -> what it needs."""


def settings(lines: str) -> dict[str, Plain]:
    resources = parse(RECIPE + lines, "recipe.toml", kinds.load()).resources
    resource = resources["train.it"]
    resolved = resource.kind.probe(resource, evolve(NOTHING_AROUND, resources=resources)).settings
    return {
        **settings_of(resource.specification),
        **{name: value for name, value in resolved.items() if name[:5] == "load_"},
    }


@pytest.mark.parametrize("lines", LIBRARIES)
def test_what_a_recipe_asks_for(lines: str) -> None:
    found = list(needed(settings(lines)))
    assert [one.lack for one in found] == [f"{one}, which is not installed" for one in LIBRARIES[lines]]
    assert {module for one in found for module in one.modules} <= MODULES


def test_what_is_not_installed_is_told_with_what_to_install() -> None:
    lines = """\
optimizer = "schedule_free_adamw"
lr_scheduler = "constant"
attn_implementation = "flash_attention_2"
logging = { report_to = ["mlflow", "tensorboard"] }
"""
    assert [(one.code, one.detail, one.hint) for one in lacks("train.it", settings(lines))] == [
        (
            "TUNE402",
            'train.it.optimizer = "schedule_free_adamw" needs schedulefree, which is not installed.',
            'Install it with `pip install schedulefree`, or use "adamw_torch".',
        ),
        (
            "TUNE402",
            'train.it.attn_implementation = "flash_attention_2" needs flash-attn, which is not installed.',
            'Install it with `pip install \'tuneform[flash-attn]\'`, or use "auto" or "sdpa".',
        ),
        (
            "TUNE402",
            'train.it.logging.report_to = ["mlflow"] needs mlflow, which is not installed.',
            "Install it with `pip install mlflow`, or take it out.",
        ),
    ]


def test_a_machine_that_only_plans_is_told_what_every_training_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = settings('adapter = { type = "qlora" }')
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "bitsandbytes", raising=False)
    assert [(one.detail, one.hint) for one in lacks("train.it", asked)] == [
        (
            f"train.it is trained with {', '.join(NEEDED)}, which this machine does not have.",
            "Run `pip install 'tuneform[train]'`, or apply where that is.",
        ),
        (
            'train.it.adapter.type = "qlora" needs bitsandbytes, which is not installed.',
            "Install it with `pip install 'tuneform[train]'`, or use \"lora\".",
        ),
    ]


@pytest.mark.torch
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_transformers_has_every_optimizer_whose_libraries_are_there_and_no_other(name: str, tmp_path: Path) -> None:
    import torch
    from transformers import Trainer, TrainingArguments

    targets = ["0"] if OPTIMIZERS[name].targets else None
    arguments = TrainingArguments(
        str(tmp_path), optim=name, optim_target_modules=targets, use_cpu=True, report_to="none"
    )
    trainer = Trainer(torch.nn.Sequential(torch.nn.Linear(2, 2)), arguments)
    if all(find_spec(module) is not None for module in OPTIMIZERS[name].modules):
        assert trainer.create_optimizer() is not None
    else:
        with pytest.raises((ImportError, ValueError), match="nstall"):
            trainer.create_optimizer()
