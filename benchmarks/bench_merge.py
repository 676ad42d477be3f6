"""`make bench-merge`: an adapter merged into its base, by tune and by PEFT's `merge_and_unload`.

A Llama of 464 million random numbers (0.93 GB in bfloat16, 4 files) and a LoRA adapter of rank 16 on all its linear
layers. Each side is a fresh process that begins with files and ends with files, in turns; wall time, processor time
and the most memory held are those of the whole process. `cp -r` of the base shows what the disk alone takes. All
tensors of the two results are compared bit by bit.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from executor.models.tensor_files import TensorLayout, tensor_digests, write_tensors

HOUSE = Path(__file__).parent.parent
ROUNDS = 3
SIDES = ("copy", "PEFT", "tune")
HIDDEN, INTERMEDIATE, LAYERS, HEADS, VOCABULARY, RANK = 1024, 2816, 31, 16, 32_000, 16
FILES = 4
LINEAR = {
    **{f"self_attn.{name}_proj": (HIDDEN, HIDDEN) for name in "qkvo"},
    "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
    "mlp.up_proj": (INTERMEDIATE, HIDDEN),
    "mlp.down_proj": (HIDDEN, INTERMEDIATE),
}
NORMS = ("input_layernorm", "post_attention_layernorm")
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "dtype": "bfloat16",
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": False,
}
ADAPTER = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "r": RANK,
    "lora_alpha": 24,
    "target_modules": sorted(name.rpartition(".")[2] for name in LINEAR),
}


@frozen
class Cost:
    """What a process took: wall and processor seconds, and the most memory held, in MB."""

    wall: float
    processor: float
    memory: float


def main() -> None:
    """Make the files, measure, compare, print a table, and as the last line one JSON object."""
    if len(sys.argv) > 1:
        {"files": make_files, "PEFT": merge_by_peft, "tune": merge_by_tune}[sys.argv[1]](*map(Path, sys.argv[2:]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        base, adapter = folder / "base", folder / "adapter"
        # Not here: a process is charged with what its parent holds when it begins.
        measure("files", base, adapter, folder)
        rounds = [{side: measure(side, base, adapter, folder / side) for side in SIDES} for _ in range(ROUNDS)]
        theirs, ours = tensor_digests(folder / "PEFT"), tensor_digests(folder / "tune")
    equal = sum(ours.get(name) == one for name, one in theirs.items())
    print_figures(rounds, f"{equal} of {len(theirs)} tensors are equal", identical=ours == theirs)


def print_figures(rounds: list[dict[str, Cost]], compared: str, *, identical: bool) -> None:
    """Medians, and ratios of the sides of one round."""
    print(f"{'':<8}{'wall, s':>10}{'CPU, s':>10}{'most memory, MB':>18}")
    for side in SIDES:
        wall, used, memory = (
            statistics.median(getattr(one[side], name) for one in rounds) for name in ("wall", "processor", "memory")
        )
        print(f"{side:<8}{wall:>10.2f}{used:>10.2f}{memory:>18.0f}")
    print(compared)
    figures = {
        "ratio_to_peft": round(ratio(rounds, "wall", "PEFT"), 2),
        "ratio_to_peft_processor": round(ratio(rounds, "processor", "PEFT"), 2),
        "memory_ratio": round(1 / ratio(rounds, "memory", "PEFT"), 3),
        "ratio_to_copy": round(1 / ratio(rounds, "wall", "copy"), 2),
        "bit_identical": identical,
    }
    print(json.dumps(figures))


def ratio(rounds: list[dict[str, Cost]], name: str, other: str) -> float:
    """How many times another side's cost is tune's, the median of the rounds."""
    ratios: list[float] = [getattr(one[other], name) / getattr(one["tune"], name) for one in rounds]
    return statistics.median(ratios)


def measure(side: str, base: Path, adapter: Path, output: Path) -> Cost:
    """One side in a fresh process, onto nothing."""
    if output.name == side:
        shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, __file__, side, str(base), str(adapter), str(output)]
    if side == "copy":
        command = [str(shutil.which("cp")), "-r", str(base), str(output)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(HOUSE)}
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, environment)
    _, status, used = os.wait4(child, 0)
    if status:
        message = f"{side} failed"
        raise SystemExit(message)
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def merge_by_tune(base: Path, adapter: Path, output: Path) -> None:
    """Merge as a `merge` of a recipe does."""
    from executor.merging.lora_merge import merge

    merge(base, adapter, output, None)


def merge_by_peft(base: Path, adapter: Path, output: Path) -> None:
    """Merge as PEFT's documentation says, with its own check for broken weights."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    merged.save_pretrained(output, max_shard_size="250MB")


def make_files(base: Path, adapter: Path, _: Path) -> None:
    """The model and the adapter."""
    make_base(base)
    make_adapter(adapter)


def make_base(folder: Path) -> None:
    """Random weights in several files, of the size that weights have."""
    import numpy as np

    folder.mkdir()
    generator = np.random.default_rng(0)

    def content(name: str) -> Iterator[memoryview]:
        # A float32 cut to its upper half is a bfloat16.
        numbers = generator.standard_normal(layouts[name].shape, dtype=np.float32) * np.float32(0.02)
        yield (numbers.view(np.uint32) >> 16).astype(np.uint16).reshape(-1).view(np.uint8).data

    layouts = {name: TensorLayout("BF16", shape) for name, shape in shapes()}
    weight_map: dict[str, str] = {}
    for number in range(FILES):
        file = f"model-{number + 1:05}-of-{FILES:05}.safetensors"
        part = list(layouts)[number * len(layouts) // FILES : (number + 1) * len(layouts) // FILES]
        write_tensors(folder / file, {name: layouts[name] for name in part}, content)
        weight_map |= dict.fromkeys(part, file)
    size = sum(one.size for one in layouts.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(CONFIG))


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor of the model and its shape."""
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        for name, shape in LINEAR.items():
            yield f"model.layers.{layer}.{name}.weight", shape
        for name in NORMS:
            yield f"model.layers.{layer}.{name}.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def make_adapter(folder: Path) -> None:
    """A LoRA adapter on all linear layers, in float32 as training writes it."""
    import numpy as np

    folder.mkdir()
    generator = np.random.default_rng(1)
    layouts = {}
    for layer in range(LAYERS):
        for name, (rows, columns) in LINEAR.items():
            module = f"base_model.model.model.layers.{layer}.{name}"
            layouts[f"{module}.lora_A.weight"] = TensorLayout("F32", (RANK, columns))
            layouts[f"{module}.lora_B.weight"] = TensorLayout("F32", (rows, RANK))

    def content(name: str) -> Iterator[memoryview]:
        numbers = generator.standard_normal(layouts[name].shape, dtype=np.float32) * np.float32(0.02)
        yield numbers.reshape(-1).view(np.uint8).data

    write_tensors(folder / "adapter_model.safetensors", layouts, content)
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER))


if __name__ == "__main__":
    main()
