"""What the files of an adapter and its base say of "all-linear" is what PEFT says of the base in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.models import fit, lora
from executor.models.adapter_fields import ALL_LINEAR

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64}
NARROW = {**SIZES, "word_embed_proj_dim": 8, "ffn_dim": 32, "max_position_embeddings": 16}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 64, "n_positions": 16}


@pytest.mark.parametrize(
    ("model_type", "config"),
    [
        ("llama", SIZES),
        ("qwen3", {**SIZES, "head_dim": 8, "num_key_value_heads": 2}),
        ("gpt2", GPT2),
        ("gpt_neox", SIZES),
        ("opt", NARROW),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_files_say_what_peft_says(
    model_type: str,
    config: dict[str, Any],
    tmp_path: Path,
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    made: Any = AutoModelForCausalLM
    base = made.from_config(AutoConfig.for_model(model_type, **config))
    base.save_pretrained(tmp_path / "base")
    model: Any = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.save_pretrained(tmp_path / "adapter")
    found = fit.facts(tmp_path / "adapter", tmp_path / "base")
    assert found[ALL_LINEAR] == lora.all_linear(model)
    assert found["target_modules"] == sorted(
        {name.rpartition(".")[2] for name in model.peft_config["default"].target_modules}
    )
