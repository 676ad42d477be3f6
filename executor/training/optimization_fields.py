"""Fields of `[train.NAME]` that say how weights move: length, batches, learning rates, the optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import Factory

from executor.training.dropout import neutral_without_dropout
from executor.training.optimizers import OPTIMIZERS
from executor.training.run_schedule import same_schedule
from executor.training.scheduler_arguments import SchedulerArguments
from planner.effects import Effect, setting
from planner.limits import fraction, not_negative, numpy_seed, one_of, positive
from state.canonical import Plain
from state.values import frozen

STEPS_DEPEND = "every optimizer step depends on it"


def where_loraplus(settings: Mapping[str, Plain], _: Mapping[str, Plain]) -> Effect:
    """A learning rate that nothing learns with decides nothing."""
    return Effect.REBUILD if settings["loraplus_lr_ratio"] != 1 else Effect.METADATA


@frozen(kw_only=True)
class Optimization:
    """How weights move, under the names of transformers' TrainingArguments where those are not ambiguous."""

    learning_rate: float = setting(effect=Effect.REBUILD, why=STEPS_DEPEND, validator=positive)
    num_epochs: float = setting(
        1.0, effect=Effect.LENGTH, why="the run has another length", validator=positive, alike=same_schedule
    )
    max_steps: int = setting(
        0, effect=Effect.LENGTH, why="the run has another length", validator=not_negative, alike=same_schedule
    )
    """0: as long as num_epochs says."""
    on_length_change: Literal["retrain", "continue"] = setting(
        "retrain", effect=Effect.METADATA, why="it says what a change of length does"
    )
    """What to do with another length where no checkpoint leads to the same run: "continue" accepts that it is not."""
    batch_size: int = setting(8, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=positive)
    """Rows that one optimizer step sees, over all processes and micro-batches."""
    micro_batch_size: int | Literal["auto"] = setting(
        "auto",
        effect=neutral_without_dropout,
        why="it decides more than rounding only where something is drawn by chance",
        validator=positive,
    )
    """Rows that go through the model at once; "auto": the whole batch."""
    auto_micro_batch: bool = setting(
        default=False, effect=Effect.NUMERICS, why="a smaller micro-batch only rounds differently"
    )
    """Whether to go on with half the micro-batch, as often as needed, where memory does not suffice."""
    lr_scheduler: Literal[
        "constant",
        "constant_with_warmup",
        "linear",
        "cosine",
        "cosine_with_min_lr",
        "cosine_warmup_with_min_lr",
        "cosine_with_restarts",
        "inverse_sqrt",
        "polynomial",
        "warmup_stable_decay",
    ] = setting("cosine", effect=Effect.REBUILD, why=STEPS_DEPEND, alike=same_schedule)
    lr_scheduler_kwargs: SchedulerArguments = setting(
        Factory(SchedulerArguments), effect=Effect.REBUILD, why=STEPS_DEPEND, alike=same_schedule
    )
    warmup_ratio: float = setting(0.0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=fraction, alike=same_schedule)
    warmup_steps: int = setting(0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=not_negative, alike=same_schedule)
    optimizer: str = setting("adamw_torch", effect=Effect.REBUILD, why=STEPS_DEPEND, validator=one_of(OPTIMIZERS))
    """One of those of transformers."""
    optim_args: dict[str, Plain] = setting(Factory(dict), effect=Effect.REBUILD, why=STEPS_DEPEND)
    """What only this optimizer takes."""
    optim_target_modules: Literal["all-linear"] | tuple[str, ...] = setting((), effect=Effect.REBUILD, why=STEPS_DEPEND)
    """The modules that GaLore and APOLLO are for."""
    loraplus_lr_ratio: float = setting(1.0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=positive)
    """LoRA+: how many times faster the second matrix of an adapter (B) learns than the first."""
    loraplus_lr_embedding: float = setting(1e-6, effect=where_loraplus, why=STEPS_DEPEND, validator=positive)
    """LoRA+: the learning rate of adapters on embeddings."""
    adam_beta1: float = setting(0.9, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=fraction)
    adam_beta2: float = setting(0.999, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=fraction)
    adam_epsilon: float = setting(1e-8, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=positive)
    weight_decay: float = setting(0.0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=not_negative)
    max_grad_norm: float = setting(1.0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=not_negative)
    """Longer gradients are cut to this length; 0: none is."""
    neftune_noise_alpha: float = setting(0.0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=not_negative)
    """NEFTune: noise on the embeddings while training; 0: none."""
    seed: int = setting(
        42, effect=Effect.REBUILD, why="order, initialisation and dropout follow it", validator=numpy_seed
    )
    data_seed: int | None = setting(
        None, effect=Effect.REBUILD, why="rows come in another order", validator=not_negative
    )
    """For the order of rows alone; left out, `seed` decides it."""
