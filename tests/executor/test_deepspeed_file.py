"""An own DeepSpeed configuration: read by content, with what the recipe decides left to the recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import evolve

from executor import kinds
from executor.applying.probe import desire
from executor.methods.sft import Sft
from executor.training.deepspeed_file import faults, merged, resolved
from executor.training.distributed_fields import Device, Distributed
from executor.training.strategies import deepspeed_configuration
from executor.workers.world import World
from planner.desired import effect_of
from planner.effects import Effect
from planner.recipe import parse
from planner.structure import settings_of
from state.diagnostic import ProblemError
from state.files import FileDigests
from state.record import State

TWO = World("deepspeed", 2)
USUAL: dict[str, Any] = {
    "fp16": {"enabled": "auto", "loss_scale": "auto"},
    "bf16": {"enabled": "auto"},
    "train_batch_size": "auto",
    "gradient_clipping": "auto",
    "steps_per_print": 100,
    "zero_optimization": {
        "stage": 3,
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
        "offload_param": {"device": "none"},
        "overlap_comm": True,
        "reduce_bucket_size": "auto",
        "stage3_max_live_parameters": 1e9,
    },
}
"""As the documentation of transformers has it."""


def test_a_usual_file_sets_the_fields_of_the_recipe_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text(json.dumps(USUAL))
    table = resolved(Distributed("deepspeed", 2, config="ds.json"), tmp_path)
    assert table == Distributed(
        "deepspeed",
        2,
        zero_stage=3,
        offload_optimizer="cpu",
        config={
            "steps_per_print": 100,
            "zero_optimization": {
                "overlap_comm": True,
                "stage3_max_live_parameters": 1e9,
                "offload_optimizer": {"pin_memory": True},
            },
        },
    )
    assert list(faults(table)) == []
    (tmp_path / "moved.json").write_text(json.dumps(USUAL, indent=4))
    assert resolved(Distributed("deepspeed", 2, config="moved.json"), tmp_path) == table
    assert resolved(table, tmp_path) == table


def test_a_file_may_offload_to_one_folder_of_a_disk(tmp_path: Path) -> None:
    there, elsewhere = ({"device": "nvme", "nvme_path": path} for path in ("/disk", "/elsewhere"))
    config: dict[str, Any] = {"zero_optimization": {"stage": 3, "offload_optimizer": there, "offload_param": there}}
    table = resolved(Distributed("deepspeed", config=config), tmp_path)
    assert (table.offload_optimizer, table.offload_parameters, table.nvme_path) == ("nvme", "nvme", "/disk")
    assert (table.config, list(faults(table))) == ({}, [])
    config["zero_optimization"]["offload_param"] = elsewhere
    with pytest.raises(ProblemError, match="goes to two places, `/disk` and `/elsewhere`"):
        resolved(Distributed("deepspeed", config=config), tmp_path)


@pytest.mark.torch
def test_what_is_handed_to_deepspeed_is_the_file_under_what_the_recipe_says(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text(json.dumps(USUAL))
    table = settings_of(resolved(Distributed("deepspeed", 2, config="ds.json"), tmp_path))
    settings = {"distributed": table, "batch_size": 8, "micro_batch_size": 2, "max_grad_norm": 0.5, "bf16": False}
    made = deepspeed_configuration(settings, TWO)
    assert made["steps_per_print"] == 100
    assert made["gradient_accumulation_steps"] == 2
    assert made["gradient_clipping"] == 0.5
    assert made["zero_optimization"] == {
        "stage": 3,
        "overlap_comm": True,
        "stage3_max_live_parameters": 1e9,
        "stage3_gather_16bit_weights_on_model_save": True,
        "offload_optimizer": {"device": "cpu", "pin_memory": False},
    }


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("device", ["none", "cpu", "nvme"])
def test_deepspeed_itself_understands_what_it_is_handed(stage: Literal[1, 2, 3], device: Device) -> None:
    from deepspeed.runtime.zero.config import get_zero_config

    parameters = device if stage == 3 else "none"
    table = Distributed("deepspeed", 2, 1, stage, device, parameters, "/disk" if device == "nvme" else "")
    settings = {"distributed": settings_of(table), "batch_size": 8, "micro_batch_size": 2}
    made = get_zero_config(deepspeed_configuration(settings | {"max_grad_norm": 1.0, "bf16": True}, TWO))
    assert made.stage == stage
    for found, wanted in ((made.offload_optimizer, device), (made.offload_param, parameters)):
        assert (found.device if found is not None else "none") == wanted
        assert (str(found.nvme_path) if wanted == "nvme" else "/disk") == "/disk"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"optimizer": {"type": "AdamW", "params": {"lr": "auto"}}}, "its `optimizer` is for the recipe to say"),
        ({"gradient_clipping": 1.0}, "its `gradient_clipping` is for the recipe to say"),
        ({"fp16": {"enabled": True}}, "its `fp16` is for the recipe to say"),
        ({"zero_optimization": {"stage": 4}}, "its ZeRO stage is 4"),
    ],
)
def test_what_the_recipe_decides_is_refused(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    table = resolved(Distributed("deepspeed", config=config), tmp_path)
    assert [detail for _, detail, _ in faults(table)] == [said]


TAPE = '{"zero_optimization": {"stage": 3, "offload_param": {"device": "tape"}}}'


@pytest.mark.parametrize("content", ["{", "[1]", '{"zero_optimization": 3}', TAPE])
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "ds.json").write_text(content)
    with pytest.raises(ProblemError):
        resolved(Distributed("deepspeed", config="ds.json"), tmp_path)


@pytest.mark.parametrize(
    ("config", "effect"),
    [
        ({"zero_optimization": {"overlap_comm": True}}, Effect.NUMERICS),
        ({"data_types": {"grad_accum_dtype": "fp32"}}, Effect.REBUILD),
    ],
)
def test_blocks_that_nobody_has_classified_rebuild(config: dict[str, Any], effect: Effect) -> None:
    settings = {"distributed": settings_of(evolve(Distributed("deepspeed"), config=config))}
    assert effect_of(Sft, "distributed.config.x", settings, {}) is effect


RECIPE = """
[model.tiny]
source = "model"
[dataset.chats]
source = "chats.jsonl"
type = "chat_template"
[train.it]
method = "sft"
model = "model.tiny"
datasets = ["dataset.chats"]
learning_rate = 1e-3
[train.it.distributed]
strategy = "deepspeed"
"""


def test_a_configuration_can_stand_in_the_recipe_itself() -> None:
    inside = "[train.it.distributed.config]\nzero_optimization = { stage = 1, overlap_comm = true }\n"
    found = parse(RECIPE + inside, "recipe.toml", kinds.load()).resources["train.it"].specification.distributed
    assert found.config == {"zero_optimization": {"stage": 1, "overlap_comm": True}}


def test_what_stands_in_a_file_is_held_to_the_recipe_like_what_stands_in_it(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text(json.dumps({"optimizer": {"type": "SGD"}, "zero_optimization": {"stage": 4}}))
    recipe = parse(f'{RECIPE}config = "ds.json"\n', "recipe.toml", kinds.load())
    with pytest.raises(ProblemError) as found:
        desire(recipe, tmp_path, FileDigests(), State("nowhere", 0))
    assert [one.detail for one in found.value.diagnostics if "config" in one.detail] == [
        "train.it.distributed.config: its `optimizer` is for the recipe to say.",
        "train.it.distributed.config: its ZeRO stage is 4.",
    ]


def test_tables_are_merged_one_by_one() -> None:
    assert merged({"a": {"x": 1, "y": {"p": 1}}, "b": 2}, {"a": {"x": 3, "y": {"q": 4}}, "c": 5}) == {
        "a": {"x": 3, "y": {"p": 1, "q": 4}},
        "b": 2,
        "c": 5,
    }
