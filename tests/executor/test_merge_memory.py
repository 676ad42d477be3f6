"""Memory that merges hold, seen from outside: a file of the base and a bit, whatever the size of the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from executor.models.tensor_files import TensorLayout, write_tensors

pytestmark = [pytest.mark.torch, pytest.mark.slow]

HOUSE = Path(__file__).parents[2]
HIDDEN, INTERMEDIATE, LAYERS, EXPERTS, VOCABULARY, RANK = 512, 1024, 13, 8, 512, 8
SHARD, BOUND = 56_000_000, 150_000_000
"""Bytes of a file, and what may be held beyond it: a part of the 730 MB of the whole."""
MODEL = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "dtype": "float32",
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "num_local_experts": EXPERTS,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": False,
}
ATTENTION = [f"self_attn.{one}_proj" for one in "qkvo"]
MERGE = """\
import resource, sys
from pathlib import Path
import bitsandbytes, peft, torch, transformers, peft.tuners.lora.layer
from transformers import AutoModelForCausalLM, MixtralForCausalLM
from executor.merging.expert_merge import merge_with_parameters
from executor.models.dequantized_base import dequantized
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
base, adapter, output = map(Path, sys.argv[2:])
if sys.argv[1] == "dequantized":
    settings = {"load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4", "bf16": False, "fp16": False}
    dequantized(base, settings, output)
else:
    merge_with_parameters(base, adapter, output, "bfloat16", trusted=False)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def shapes(layer: int) -> dict[str, tuple[int, ...]]:
    expert = {"w1": (INTERMEDIATE, HIDDEN), "w2": (HIDDEN, INTERMEDIATE), "w3": (INTERMEDIATE, HIDDEN)}
    inside: dict[str, tuple[int, ...]] = dict.fromkeys(ATTENTION, (HIDDEN, HIDDEN))
    inside |= {"input_layernorm": (HIDDEN,), "post_attention_layernorm": (HIDDEN,)}
    inside |= {"block_sparse_moe.gate": (EXPERTS, HIDDEN)}
    for number in range(EXPERTS):
        inside |= {f"block_sparse_moe.experts.{number}.{name}": shape for name, shape in expert.items()}
    return {f"model.layers.{layer}.{name}.weight": shape for name, shape in inside.items()}


def write(path: Path, tensors: dict[str, tuple[int, ...]]) -> None:
    import numpy as np

    generator = np.random.default_rng(len(tensors))

    def content(name: str) -> list[memoryview]:
        numbers = generator.standard_normal(tensors[name], dtype=np.float32) * np.float32(0.02)
        return [numbers.reshape(-1).view(np.uint8).data]

    write_tensors(path, {name: TensorLayout("F32", shape) for name, shape in tensors.items()}, content)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A mixture with a file for each layer, and an adapter to its attention and its experts."""
    folder = tmp_path_factory.mktemp("large")
    base, adapter = folder / "base", folder / "adapter"
    base.mkdir()
    adapter.mkdir()
    ends: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    parts = [shapes(layer) for layer in range(LAYERS)] + [{**ends, "lm_head.weight": (VOCABULARY, HIDDEN)}]
    named = {f"model-{at + 1:05}-of-{len(parts):05}.safetensors": part for at, part in enumerate(parts)}
    for name, part in named.items():
        write(base / name, part)
    weight_map = {tensor: name for name, part in named.items() for tensor in part}
    (base / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (base / "config.json").write_text(json.dumps(MODEL))
    assert max(path.stat().st_size for path in base.iterdir()) < SHARD
    write(adapter / "adapter_model.safetensors", factors())
    configuration: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": RANK,
        "target_modules": ["q_proj", "v_proj"],
        "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
    }
    (adapter / "adapter_config.json").write_text(json.dumps(configuration))
    return base, adapter


def factors() -> dict[str, tuple[int, ...]]:
    """PEFT wraps one parameter of the experts in the other; the outer one is the second that it finds."""
    found: dict[str, tuple[int, ...]] = {}
    for layer in range(LAYERS):
        start = f"base_model.model.model.layers.{layer}"
        for name in ("q_proj", "v_proj"):
            found[f"{start}.self_attn.{name}.lora_A.weight"] = (RANK, HIDDEN)
            found[f"{start}.self_attn.{name}.lora_B.weight"] = (HIDDEN, RANK)
        for inner, (rows, columns) in {".base_layer": (2 * INTERMEDIATE, HIDDEN), "": (HIDDEN, INTERMEDIATE)}.items():
            found[f"{start}.mlp.experts{inner}.lora_A.weight"] = (RANK * EXPERTS, columns)
            found[f"{start}.mlp.experts{inner}.lora_B.weight"] = (rows, RANK * EXPERTS)
    return found


@pytest.mark.parametrize("how", ["merged", "dequantized"])
def test_memory_is_bounded_by_a_file_and_not_by_the_model(how: str, folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, adapter = folders
    command = [sys.executable, "-c", MERGE, how, str(base), str(adapter), str(tmp_path / "output")]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    whole = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    assert whole > 700_000_000
    assert int(done.stdout.splitlines()[-1]) < SHARD + BOUND
