"""The recipe fields that methods share which learn from answers, and what is wrong with them in every such method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from executor.training.cross_entropy import adds_up_apart
from executor.training.method import Fault
from executor.training.stage import Stage
from planner.effects import Effect, setting
from planner.limits import positive
from state.values import frozen

LOSS = "the loss is another"


@frozen
class AnswerStage(Stage):
    """A training run on rows of answers."""

    micro_batch_size: int | Literal["auto"] = setting(
        "auto", effect=Effect.REBUILD, why="the loss is a mean over each micro-batch", validator=positive
    )
    """Rows that go through the model at once; "auto": the whole batch."""
    disable_dropout: bool = setting(default=True, effect=Effect.REBUILD, why="dropout changes every step")
    """Whether all dropout is switched off, of adapters too, so that an answer has one likelihood."""

    @property
    def is_referred(self) -> bool:
        """Whether the loss compares the model with what it was before."""
        return False


@frozen
class ReferredStage(AnswerStage):
    """A training run whose loss compares the model with what it was before."""

    beta: float = setting(0.1, effect=Effect.REBUILD, why=LOSS, validator=positive)
    """How strongly the model is held to what it was before."""
    precompute_ref_log_probs: bool = setting(
        default=False, effect=Effect.NUMERICS, why="the same likelihoods, computed in other batches"
    )
    """Whether likelihoods of the model as it was are computed before training, so that it need not stay in memory."""

    @property
    def is_referred(self) -> bool:
        """Always."""
        return True


def faults(stage: AnswerStage) -> Iterator[Fault]:
    """What every such method refuses."""
    adapter = stage.adapter
    if adapter is None:
        return
    if adapter.lora_dropout and stage.disable_dropout:
        detail = "it does nothing while `disable_dropout` is true"
        yield "adapter.lora_dropout", detail, "Remove it, or set disable_dropout = false."
    if stage.is_referred and adapter.converted:
        detail = "the reference is the model with the adapter switched off, and such a start changes that model"
        yield "adapter.init_lora_weights", detail, 'Use "default".'
    if adds_up_apart(stage.distributed.strategy, adapter):
        detail = "with FSDP, each process would train the head on its own rows alone"
        yield "adapter.modules_to_save", detail, "Use another strategy, or leave the head out."
    if "lm_head" in adapter.target_modules and adapter.target_modules != "all-linear":
        yield "adapter.target_modules", "the loss is computed past an adapter on lm_head", 'Remove "lm_head".'
