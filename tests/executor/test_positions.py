"""Rows that are longer than a model has positions: refused where it would fail, warned of where it would get worse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from executor import kinds
from executor.training.positions import TABLED, positions
from planner.recipe import parse
from tests.executor.test_train_fields import NOTHING_AROUND

RECIPE = """
[model.base]
{model}

[dataset.chats]
source = "chats.jsonl"
type = "{rows}"

[train.it]
method = "{method}"
model = "model.base"
datasets = ["dataset.chats"]
learning_rate = 1e-3
"""
GPT2 = {"model_type": "gpt2", "n_positions": 1024}
LLAMA = {"model_type": "llama", "max_position_embeddings": 4096}
GRPO = 'reward_functions = ["length"]\n'
TABLE = (
    "Contradicting fields: train.it.sequence_len: rows may have {} tokens{}, and model.base has a vector for each of"
)
MADE = "Untrained positions: train.it: rows may have 8192 tokens, and model.base was made for {}."


def _said(tmp_path: Path, config: Mapping[str, Any], lines: str, model: str = "", method: str = "sft") -> list[str]:
    """What is said of a run, beside what its evaluation and chat template would have."""
    (tmp_path / "base").mkdir(exist_ok=True)
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    rows = "chat_template" if method == "sft" else "prompt"
    text = RECIPE.format(model=f'source = "base"\n{model}', rows=rows, method=method) + lines
    resources = parse(text, "recipe.toml", kinds.load()).resources
    run = resources["train.it"]
    around = attrs.evolve(NOTHING_AROUND, resources=resources, folder=tmp_path)
    return [f"{one.summary}: {one.detail} {one.hint}" for one in run.kind.probe(run, around).diagnostics]


@pytest.mark.parametrize("lines", ["", "sequence_len = 1025"])
def test_a_table_of_positions_has_an_end(tmp_path: Path, lines: str) -> None:
    longest = 1025 if lines else 2048
    hint = "Set `sequence_len` to 1024 or less."
    assert _said(tmp_path, GPT2, lines) == [f"{TABLE.format(longest, '')} 1024 positions. {hint}"]
    assert _said(tmp_path, GPT2, "sequence_len = 1024") == []


def test_answers_stand_behind_their_prompts(tmp_path: Path) -> None:
    lines = GRPO + "sequence_len = 1000\nmax_completion_length = {}"
    found = [_said(tmp_path, GPT2, lines.format(length), method="grpo") for length in (24, 25, 1024)]
    longest = [(1025, "Set `sequence_len` to 999 or less."), (2024, "Lower `max_completion_length`.")]
    behind = " with `max_completion_length`"
    assert found == [[], *([f"{TABLE.format(one, behind)} 1024 positions. {hint}"] for one, hint in longest)]


def test_rotary_positions_get_worse_behind_what_was_trained(tmp_path: Path) -> None:
    hint = "Set `sequence_len` to {} or less, or `rope_scaling` of model.base, which reaches further."
    long, yarn = "sequence_len = 8192", 'rope_scaling = { rope_type = "yarn", factor = 2 }'
    assert _said(tmp_path, LLAMA, long) == [f"{MADE.format(4096)} {hint.format(4096)}"]
    assert _said(tmp_path, LLAMA, "sequence_len = 4096") == []
    assert _said(tmp_path, LLAMA, long, yarn) == []
    assert _said(tmp_path, {**LLAMA, "max_position_embeddings": 1024}, "") == []  # a length that nobody asked for
    assert _said(tmp_path, {"model_type": "mamba"}, long) == []


@pytest.mark.parametrize(
    ("config", "scaling", "count"),
    [
        (LLAMA, {}, 4096),
        (LLAMA, {"rope_type": "linear", "factor": 2.5}, 10240),
        ({**LLAMA, "rope_scaling": None}, {}, 4096),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"factor": 32.0, "original_max_position_embeddings": 8192},
            },
            {},
            262144,
        ),
        ({**LLAMA, "rope_parameters": {"full_attention": {"factor": 8.0}, "sliding_attention": {}}}, {}, 32768),
        ({"model_type": "gemma3", "text_config": {"max_position_embeddings": 512}}, {}, 512),
        ({"model_type": "mpt", "max_seq_len": 2048}, {}, 2048),
        ({"model_type": "mamba"}, {}, 0),
    ],
)
def test_what_a_configuration_promises(config: dict[str, Any], scaling: dict[str, Any], count: int) -> None:
    assert positions(config, scaling) == count


SMALL = {"vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WIDTHS = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
WIDE = {"n_embd": 32, "n_layer": 1, "n_head": 4, "rotary_dim": 4, "n_positions": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": WIDE,
    "gptj": WIDE,
    "codegen": WIDE,
    "gpt_bigcode": WIDE,
    "gpt_neo": {"hidden_size": 32, "num_layers": 1, "num_heads": 4, "attention_types": [[["global"], 1]]},
    "opt": {**WIDTHS, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "biogpt": WIDTHS,
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 1, "max_seq_len": 16},
    **dict.fromkeys(("llama", "gpt_neox", "phi"), WIDTHS),
    "falcon": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "alibi": True},
    "bloom": {"hidden_size": 32, "n_layer": 1, "n_head": 4},
}


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_models_with_a_table_are_those_that_fail(family: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    told: dict[str, Any] = {**FAMILIES[family], **SMALL}
    if not {"n_positions", "max_seq_len"} & told.keys():
        told["max_position_embeddings"] = 16
    made: Any = AutoModelForCausalLM
    model = made.from_config(AutoConfig.for_model(family, **told)).eval()
    ids = torch.full((1, 40), 7)
    with torch.no_grad():
        model(input_ids=ids[:, :16], attention_mask=torch.ones_like(ids[:, :16]))
        try:
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
            fails = False
        except (IndexError, RuntimeError):
            fails = True
    assert fails is (family in TABLED)
