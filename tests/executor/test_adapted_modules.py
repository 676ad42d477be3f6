"""Names in an adapter's table that nothing has: told by a plan where files say so, else before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from executor import kinds
from executor.models.adapted_modules import name_faults, prove
from executor.models.adapter_fields import Adapter
from executor.models.lora import adapter_configuration
from planner.recipe import parse
from planner.structure import settings_of
from state.diagnostic import ProblemError
from state.record import Record, Status
from tests.executor.test_stage_faults import RECIPE
from tests.executor.test_train_fields import NOTHING_AROUND
from tests.executor.test_training import ARCHITECTURE

MODULES = ("embed_tokens", "layers.0.mlp.up_proj", "layers.0.self_attn.k_proj", "layers.0.self_attn.q_proj", "norm")
KNOWN = "There are embed_tokens, k_proj, norm, q_proj, up_proj."


def faults(
    folder: Path, table: str, *, made: bool = False, modules: tuple[str, ...] = MODULES
) -> list[tuple[str, ...]]:
    """What a plan says of `[train.it.adapter]` for a base that is a folder with these modules."""
    numpy = pytest.importorskip("safetensors.numpy")
    import numpy as np

    (folder / "tiny").mkdir()
    weights = {f"model.{name}.weight": np.ones(2, np.float32) for name in modules}
    numpy.save_file(weights, str(folder / "tiny" / "model.safetensors"))
    resources = parse(f"{RECIPE}[train.it.adapter]\n{table}", "recipe.toml", kinds.load()).resources
    resource = resources["train.it"]
    record = Record("train", settings_of(resource.specification), {}, {}, 1, "key", Status.READY, "made")
    state = attrs.evolve(NOTHING_AROUND.state, records={"train.it": record} if made else {})
    around = attrs.evolve(NOTHING_AROUND, folder=folder, resources=resources, state=state)
    return list(name_faults(resource, around))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('target_modules = ["q_proj", "k_proj"]\nexclude_modules = ["layers.0.self_attn.k_proj"]', []),
        ('target_modules = ["q_proj"]\nmodules_to_save = ["lm_head", "embed_tokens"]', []),
        (
            'target_modules = ["q_proj", "k_porj"]',
            [("adapter.target_modules", "no module of model.tiny is called `k_porj`", "Did you mean `k_proj`?")],
        ),
        (
            'exclude_modules = ["experts"]\nmodules_to_save = ["zzz"]',
            [
                ("adapter.exclude_modules", "no module of model.tiny is called `experts`", KNOWN),
                ("adapter.modules_to_save", "no module of model.tiny is called `zzz`", KNOWN),
            ],
        ),
    ],
)
def test_a_plan_tells_what_the_files_of_the_base_lack(tmp_path: Path, table: str, told: list[tuple[str, ...]]) -> None:
    assert faults(tmp_path, table) == told


def test_files_are_not_asked_where_they_call_modules_otherwise_or_a_run_has_proved_it(tmp_path: Path) -> None:
    wrong = 'target_modules = ["k_porj"]'
    (tmp_path / "fused").mkdir()
    assert faults(tmp_path / "fused", wrong, modules=(*MODULES, "layers.0.mlp.experts.0.w1")) == []
    (tmp_path / "made").mkdir()
    assert faults(tmp_path / "made", wrong, made=True) == []
    around = attrs.evolve(NOTHING_AROUND, folder=tmp_path)  # and there is no `tiny` in it
    resources = parse(f"{RECIPE}[train.it.adapter]\n{wrong}", "recipe.toml", kinds.load()).resources
    assert list(name_faults(resources["train.it"], attrs.evolve(around, resources=resources))) == []


def adapted(family: Mapping[str, Any] = ARCHITECTURE, **fields: Any) -> None:
    """What a worker says of a model with two layers once it has this adapter."""
    from peft import get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    adapter = settings_of(Adapter(**fields))
    random: Any = AutoModelForCausalLM.from_config
    sizes: dict[str, Any] = {**family, "vocab_size": 32}
    model = random(AutoConfig.for_model(**sizes))
    prove(get_peft_model(model, adapter_configuration(adapter, "CAUSAL_LM", sizes["model_type"], None)), adapter)


def refused(**fields: Any) -> list[str]:
    with pytest.raises(ProblemError) as caught:
        adapted(**fields)
    return [f"{one.detail} {one.hint}" for one in caught.value.diagnostics]


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_experts_may_be_named_as_files_name_them() -> None:
    experts = {**ARCHITECTURE, "model_type": "qwen3_moe", "num_experts": 4, "moe_intermediate_size": 16, "head_dim": 8}
    adapted(experts, target_modules=("q_proj", "gate_proj", "up_proj", "down_proj"))
    adapted(experts, target_modules=("q_proj",), target_parameters=("experts.gate_up_proj", "experts.down_proj"))
    with pytest.raises(ProblemError, match=r"called `k_porj`, which `adapter\.target_modules` names"):
        adapted(experts, target_modules=("q_proj", "down_proj", "k_porj"))


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_whatever_is_named_must_be_there() -> None:
    adapted(exclude_modules=("mlp.up_proj",), modules_to_save=("embed_tokens",))
    adapted(target_modules=("q_proj", "self_attn.k_proj"), layers_to_transform=(1,), rank_pattern={"layers.1.*": 4})
    no, meant = "No module", "Did you mean `k_proj`?"
    on = "Adapters are on model.layers.0.self_attn.q_proj, model.layers.1.self_attn.q_proj."
    there = (
        "There are down_proj, embed_tokens, gate_proj, input_layernorm, k_proj, lm_head, norm, o_proj, "
        "post_attention_layernorm, q_proj, up_proj, v_proj."
    )
    assert refused(
        target_modules=("q_proj", "k_porj"),
        exclude_modules=("zzz",),
        modules_to_save=("yyy",),
        rank_pattern={"v_proj": 4},
        alpha_pattern={"q_proj": 4.0, "k_proj": 2.0},
    ) == [
        f"{no} that can have an adapter is called `k_porj`, which `adapter.target_modules` names. {meant}",
        f"{no} is called `zzz`, which `adapter.exclude_modules` names. {there}",
        f"{no} is called `yyy`, which `adapter.modules_to_save` names. {there}",
        f"{no} with an adapter fits `v_proj` of `adapter.rank_pattern`. {on}",
        f"{no} with an adapter fits `k_proj` of `adapter.alpha_pattern`. {on}",
    ]
    (layer,) = refused(target_modules=("q_proj",), layers_to_transform=(0, 7))
    assert layer == (
        "No module with an adapter lies in a layer 7, which `adapter.layers_to_transform` names. "
        "Adapters are on model.layers.0.self_attn.q_proj."
    )
    (parameter,) = refused(target_modules=("q_proj",), target_parameters=("experts.gate_up_proj",))
    assert parameter.startswith(
        "No parameter is called `experts.gate_up_proj`, which `adapter.target_parameters` names."
    )
