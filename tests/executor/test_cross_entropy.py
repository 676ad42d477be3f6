"""The ways to compute the loss of the next token: the same losses and weights, and the record says which it was."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from executor.methods.sft import METHOD, Sft
from executor.models.adapter_fields import Adapter
from executor.training.training_run import Run
from executor.workers.worker_reports import Reporter
from state.diagnostic import ProblemError
from tests.executor.test_training import BASIC, Laboratory, laboratory, metrics, run

__all__ = ["laboratory"]
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

SHORT = evolve(BASIC, max_steps=3, val_set_size=0.25, sample_packing=True, micro_batch_size=2)


@pytest.mark.parametrize("adapter", [None, Adapter(r=4)], ids=["full", "lora"])
def test_all_ways_have_the_same_losses(laboratory: Laboratory, adapter: Adapter | None) -> None:
    stage = evolve(SHORT, adapter=adapter)
    tokens = laboratory.task(stage).one("tokens")
    made = {way: run(laboratory.task(evolve(stage, cross_entropy=way), tokens)) for way in ("auto", "standard")}
    assert {way: one.outcome.facts["cross_entropy"] for way, one in made.items()} == {
        "auto": "chunked",
        "standard": "standard",
    }
    pieces, whole = (metrics(made[way]) for way in made)
    assert len(pieces) == len(whole) == 3
    for name in ("loss", "eval_loss", "eval_mean_token_accuracy"):
        expected = [row[name] for row in whole if row.get(name) is not None]
        assert expected
        assert [row[name] for row in pieces if row.get(name) is not None] == pytest.approx(expected, abs=1e-5)


def test_standard_reads_all_logits(laboratory: Laboratory) -> None:
    """One trainer is given the logits of a whole batch, and the other never has any."""
    tokens, seen = laboratory.task(SHORT).one("tokens"), {}
    for way in ("chunked", "standard"):
        task = laboratory.task(evolve(SHORT, cross_entropy=way), tokens)
        trainer: Any = METHOD.train(Run(task, Reporter(task.address, lambda _: None)))
        shapes: list[tuple[int, ...]] = []
        trainer.model.lm_head.register_forward_hook(lambda *said, shapes=shapes: shapes.append(tuple(said[2].shape)))
        trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
        seen[way] = [shape[-1] for shape in shapes]
    assert seen == {"chunked": [], "standard": [trainer.model.config.vocab_size]}


def test_fused_needs_a_gpu(laboratory: Laboratory) -> None:
    with pytest.raises(ProblemError, match="needs Triton and a GPU"):
        run(laboratory.task(evolve(SHORT, cross_entropy="fused")))


def test_a_smoothed_loss_is_recorded_as_what_it_is(laboratory: Laboratory) -> None:
    stage: Sft = evolve(BASIC, max_steps=1, label_smoothing_factor=0.1)
    assert run(laboratory.task(stage)).outcome.facts["cross_entropy"] == "standard"
