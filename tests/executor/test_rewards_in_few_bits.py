"""Reward models beside weights in few bits: the matrices are rounded, the score is not, and a break leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from executor import methods
from executor.training.training import train
from executor.training.training_run import Run
from executor.workers.worker_reports import Reporter, StopRequestedError
from tests.executor.test_methods import Bench, bench, run
from tests.executor.test_training import StopAfter, _keep_handler, _kept, laboratory, resumed

__all__ = ["_keep_handler", "bench", "laboratory"]
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

ADAPTER = {"type": "qlora", "r": 4}
BITS: dict[str, dict[str, Any]] = {
    "four": {"load_in_4bit": True, "bnb_4bit_compute_dtype": "float32"},
    "eight": {"load_in_8bit": True},
}


def task(bench: Bench, bits: str) -> Any:
    """The reward model of the other tests, for three steps."""
    made = bench.task("reward lora")
    return evolve(made, settings={**made.settings, **BITS[bits], "max_steps": 3})


@pytest.mark.parametrize("bits", BITS)
def test_an_interrupted_reward_model_beside_few_bits_is_the_same_to_the_bit(bench: Bench, bits: str) -> None:
    straight, broken = run(task(bench, bits)), task(bench, bits)
    said: list[Any] = []
    with pytest.raises(StopRequestedError):
        train(methods.load()["reward"], broken, StopAfter(broken.address, said.append, step=1))
    again = run(resumed(broken, _kept(said)))
    assert again.weights == straight.weights
    assert again.outcome.output_digest == straight.outcome.output_digest


def test_the_score_keeps_all_its_bits(bench: Bench) -> None:
    import bitsandbytes

    one = task(bench, "four")
    model = methods.load()["reward"].train(Run(one, Reporter(one.address, lambda _: None))).model
    library: Any = bitsandbytes
    few_bits = library.nn.Linear4bit
    kinds = {name: type(module) for name, module in model.named_modules()}
    rounded = {name for name, kind in kinds.items() if issubclass(kind, few_bits)}
    assert any(name.endswith("up_proj.base_layer") for name in rounded)
    assert not any("score" in name for name in rounded)
    assert any("score" in name and parameter.requires_grad for name, parameter in model.named_parameters())
