"""Small random models of the common families are trained, each in a few steps: with adapters, whole, and packed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import evolve

from executor.kinds.model import Model
from executor.methods.sft import Sft
from executor.models.adapter_fields import Adapter
from executor.models.model_files import initialise
from executor.workers.task import Input
from planner.structure import settings_of
from state.canonical import Plain
from state.diagnostic import ProblemError
from tests.executor.test_training import BASIC, TEMPLATE, Laboratory, laboratory, run

__all__ = ["laboratory"]
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

SIZE: dict[str, Plain] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
GEMMA: Plain = ["sliding_attention", "full_attention"]
SSM: dict[str, Plain] = {"mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2}
FAMILIES: dict[str, Mapping[str, Plain]] = {
    "mistral": {**SIZE, "sliding_window": 64},
    "qwen3": {**SIZE, "head_dim": 8},
    "gemma3_text": {
        **SIZE,
        "head_dim": 8,
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 64,
    },
    "phi3": {**SIZE, "pad_token_id": 0},
    "qwen3_moe": {**SIZE, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "falcon_h1": {**SIZE, **SSM, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_ssm": 64, "mamba_n_groups": 1},
}
LORA = evolve(BASIC, max_steps=3, adapter=Adapter(r=4))
FULL = evolve(BASIC, max_steps=3)
STAGES: list[tuple[str, str, Sft]] = [
    ("mistral", "packed", evolve(LORA, sample_packing=True)),
    (
        "qwen3",
        "qlora",
        evolve(LORA, adapter=Adapter(type="qlora", r=4), load_in_4bit=True, bnb_4bit_compute_dtype="bfloat16"),
    ),
    ("gemma3_text", "full", FULL),
    ("phi3", "lora", LORA),
    ("qwen3_moe", "experts", evolve(LORA, adapter=Adapter(r=4, target_parameters=("experts.down_proj",)))),
    ("qwen3_moe", "packed", evolve(FULL, sample_packing=True)),
    ("falcon_h1", "lora", LORA),
]


@pytest.mark.parametrize(("family", "how", "stage"), STAGES, ids=[f"{family} {how}" for family, how, _ in STAGES])
def test_a_model_of_the_family_learns(laboratory: Laboratory, family: str, how: str, stage: Sft) -> None:
    model = _model(laboratory, family, how)
    task = laboratory.task(stage)
    trained = run(evolve(task, inputs={**task.inputs, "model": (model,)}))
    first, *_, last = (entry["loss"] for entry in trained.log if "loss" in entry)
    assert last < first
    assert Path(trained.task.output_folder, "chat_template.jinja").is_file()


def test_a_smoothed_loss_that_would_leave_out_that_of_routers_is_refused(laboratory: Laboratory) -> None:
    model = _model(laboratory, "qwen3_moe", "smoothed")
    task = laboratory.task(evolve(FULL, label_smoothing_factor=0.1))
    with pytest.raises(ProblemError, match="loss of this model's routers is added to one in chunks only"):
        run(evolve(task, inputs={**task.inputs, "model": (model,)}))


def _model(laboratory: Laboratory, family: str, how: str) -> Input:
    folder = laboratory.folder / f"{family} {how}"
    folder.mkdir()
    made = initialise({"model_type": family, **FAMILIES[family]}, 1, laboratory.folder / "tokenizer", TEMPLATE, folder)
    return Input("model.it", made.output_digest, str(folder), settings_of(Model(source=str(folder))), made.facts)
