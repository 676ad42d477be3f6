"""Adapters in all their kinds, and other ways to choose what is trained: tried on a very small model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.merging.lora_merge import merge
from executor.methods.sft import Sft
from executor.models.adapter_fields import Adapter
from executor.training.checkpoint_fields import Checkpoints
from executor.training.training_run import Run
from executor.workers.worker_reports import Reporter
from tests.executor.test_training import BASIC, Laboratory, Trained, laboratory, resumed, run, stopped

__all__ = ["laboratory"]
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

SHORT = evolve(BASIC, max_steps=3)
FOUR_BITS = evolve(SHORT, load_in_4bit=True, bnb_4bit_compute_dtype="float32")
PATTERNED = Adapter(r=4, init_lora_weights="pissa_niter_4", rank_pattern={"q_proj": 2}, alpha_pattern={"down_proj": 32})
ORTHOGONAL = Adapter(
    r=4, init_lora_weights="orthogonal", layers_to_transform=(1,), target_modules=("q_proj", "up_proj")
)
KINDS: dict[str, Sft] = {
    "pissa": evolve(SHORT, adapter=PATTERNED),
    "olora": evolve(SHORT, adapter=Adapter(r=4, init_lora_weights="olora", use_rslora=True)),
    "loftq": evolve(FOUR_BITS, adapter=Adapter(type="qlora", r=4, init_lora_weights="loftq")),
    "orthogonal": evolve(SHORT, adapter=ORTHOGONAL),
    "lora+": evolve(SHORT, adapter=Adapter(r=4), loraplus_lr_ratio=16, lr_scheduler="cosine", weight_decay=0.1),
    "noise": evolve(SHORT, adapter=Adapter(r=4, init_lora_weights="gaussian"), neftune_noise_alpha=5, data_seed=7),
    "dora beside four bits": evolve(FOUR_BITS, adapter=Adapter(type="dora", r=4)),
}


def configuration(made: Trained) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made.task.output_folder / "adapter_config.json").read_bytes())
    return found


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_adapter_is_resumed_to_the_same_bits(laboratory: Laboratory, name: str) -> None:
    task = laboratory.task(KINDS[name])
    again = run(resumed(task, stopped(task, 1)))
    straight = run(laboratory.task(KINDS[name]))
    assert again.weights == straight.weights
    assert again.outcome.output_digest == straight.outcome.output_digest


@pytest.mark.parametrize("name", ["pissa", "olora"])
def test_what_starts_from_the_base_ends_as_an_adapter_for_the_base_as_it_was(laboratory: Laboratory, name: str) -> None:
    """Training moves the whole product: what the adapter adds to the base is what was trained, not where it started."""
    from safetensors.torch import load_file

    one = evolve(KINDS[name], max_steps=1, learning_rate=1e-6)
    made = run(laboratory.task(one))
    assert (configuration(made)["r"], configuration(made)["init_lora_weights"]) == (8, True)
    merged = made.task.output_folder.parent / "merged"
    merge(Path(laboratory.model.folder), made.task.output_folder, merged, None)
    before, after = (load_file(Path(folder) / "model.safetensors") for folder in (laboratory.model.folder, merged))
    assert 0 < max((before[key] - after[key]).abs().max() for key in before) < 1e-4


@pytest.mark.parametrize("name", ["pissa", "olora"])
def test_a_shorter_run_takes_a_checkpoint_and_converts_it_too(laboratory: Laboratory, name: str) -> None:
    stage = evolve(KINDS[name], checkpoints=Checkpoints(save_steps=1, save_total_limit=10))
    long = run(laboratory.task(stage))
    taken = run(resumed(long.task, long.kept[:2], evolve(stage, max_steps=2)))
    assert taken.weights == run(laboratory.task(evolve(stage, max_steps=2))).weights


def test_loftq_starts_closer_to_the_exact_weights(laboratory: Laboratory) -> None:
    """One step with a learning rate of nearly nothing leaves the adapter as it started."""
    from bitsandbytes.functional import dequantize_4bit
    from safetensors.torch import load, load_file

    made = run(laboratory.task(evolve(KINDS["loftq"], max_steps=1, learning_rate=1e-9)))
    task = laboratory.task(KINDS["loftq"])
    base = Run(task, Reporter(task.address, lambda _: None)).model()
    held = base.model.layers[0].mlp.up_proj.weight
    rounded = dequantize_4bit(held.data, held.quant_state).float()
    exact = load_file(Path(laboratory.model.folder) / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_{}.weight"
    adapter = load(made.weights)
    added = adapter[name.format("B")] @ adapter[name.format("A")] * 16 / 4
    assert (exact - rounded - added).norm() < 0.8 * (exact - rounded).norm()
