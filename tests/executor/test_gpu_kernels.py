"""Kernels that only GPUs have: attention, losses, few bits and compiled code, each against what needs none of them."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from executor.kinds.model import Model
from executor.methods.sft import Sft
from executor.models.adapter_fields import Adapter
from executor.models.model_files import initialise
from executor.workers.task import Input
from planner.structure import settings_of
from tests.executor.test_training import ARCHITECTURE, BASIC, TEMPLATE, Laboratory, Trained, laboratory, run

__all__ = ["laboratory"]
pytestmark = [pytest.mark.gpu, pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

STAGE = evolve(BASIC, max_steps=3, bf16=True, sample_packing=True, micro_batch_size=1, adapter=Adapter(r=4))
NEAR = 0.05
"""What bfloat16 leaves of a loss of about 5."""


@pytest.fixture(scope="module")
def wide(laboratory: Laboratory) -> Laboratory:
    """A model with heads as wide as fast kernels want them."""
    folder = laboratory.folder / "wide"
    folder.mkdir()
    made = initialise({**ARCHITECTURE, "head_dim": 64}, 1, laboratory.folder / "tokenizer", TEMPLATE, folder)
    model = Input("model.tiny", made.output_digest, str(folder), settings_of(Model(source=str(folder))), made.facts)
    (laboratory.folder / "runs").mkdir()
    return Laboratory(laboratory.folder / "runs", model)


@pytest.fixture(scope="module")
def plain(wide: Laboratory) -> Trained:
    return run(wide.task(STAGE))


def loss(made: Trained) -> Any:
    return made.outcome.metrics["train_loss"]


@pytest.mark.parametrize(
    ("attention", "package"),
    [("flash_attention_2", "flash_attn"), ("flash_attention_3", "flash_attn_interface"), ("flex_attention", "torch")],
)
def test_attention_is_the_same_by_every_kernel(wide: Laboratory, plain: Trained, attention: Any, package: str) -> None:
    """Packed rows too: a kernel that let documents see each other would have another loss."""
    pytest.importorskip(package)
    made = run(wide.task(evolve(STAGE, attn_implementation=attention)))
    assert made.outcome.facts["attn_implementation"] == attention
    assert loss(made) == pytest.approx(loss(plain), abs=NEAR)


@pytest.mark.parametrize("way", ["fused", "chunked", "standard"])
def test_the_loss_is_the_same_in_every_way(
    wide: Laboratory, plain: Trained, way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.kernels import chunked_logprob

    # "chunked" keeps its process from fusing; this one goes on to other tests.
    monkeypatch.setattr(chunked_logprob, "_TRITON_AVAILABLE", chunked_logprob._TRITON_AVAILABLE)
    assert plain.outcome.facts["cross_entropy"] == "fused"
    made = run(wide.task(evolve(STAGE, cross_entropy=way)))
    assert made.outcome.facts["cross_entropy"] == way
    assert loss(made) == pytest.approx(loss(plain), abs=NEAR)


@pytest.mark.parametrize(
    "stage",
    [
        evolve(STAGE, adapter=Adapter(type="qlora", r=4), load_in_4bit=True, bnb_4bit_compute_dtype="bfloat16"),
        evolve(STAGE, load_in_8bit=True),
    ],
    ids=["four", "eight"],
)
def test_few_bits_are_near_the_exact_weights(wide: Laboratory, plain: Trained, stage: Sft) -> None:
    assert loss(run(wide.task(stage))) == pytest.approx(loss(plain), abs=0.5)


def test_compiled_code_rounds_as_it_may(wide: Laboratory, plain: Trained) -> None:
    made = run(wide.task(evolve(STAGE, torch_compile=True)))
    assert loss(made) == pytest.approx(loss(plain), abs=NEAR)
