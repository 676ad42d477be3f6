"""The recipe fields that all training methods share, each with what a change to it forces."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from attrs import Factory, frozen

from executor.distributed_fields import Distributed
from executor.dropout import neutral_without_dropout
from executor.evaluation_fields import Evaluation, where_it_selects
from executor.guard_fields import Guards
from executor.logging_fields import Logging
from executor.scheduler_arguments import SchedulerArguments, taken
from executor.turn_ends import TrainOnEos
from planner.effects import Effect, reference, setting
from planner.limits import fraction, not_empty, not_negative, positive
from planner.schedule import Schedule, total_steps
from state.canonical import Plain

STEPS_DEPEND = "every optimizer step depends on it"


@frozen
class Adapter:
    """`[train.NAME.adapter]`: low-rank matrices beside frozen weights, as PEFT's LoraConfig has them."""

    type: Literal["lora", "dora"] = setting("lora", effect=Effect.REBUILD, why="other parameters are trained")
    r: int = setting(8, effect=Effect.REBUILD, why="the adapter has another shape", validator=positive)
    lora_alpha: float = setting(
        16.0, effect=Effect.REBUILD, why="the adapter is scaled differently", validator=positive
    )
    lora_dropout: float = setting(0.0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=fraction)
    target_modules: Literal["all-linear"] | tuple[str, ...] = setting(
        "all-linear", effect=Effect.REBUILD, why="other parameters are trained", validator=not_empty
    )
    modules_to_save: tuple[str, ...] = setting((), effect=Effect.REBUILD, why="other parameters are trained")
    use_rslora: bool = setting(default=False, effect=Effect.REBUILD, why="the adapter is scaled differently")


@frozen
class Checkpoints:
    """`[train.NAME.checkpoints]`: what can be continued from after an interruption or for a longer run."""

    save_steps: int = setting(
        100, effect=Effect.RUNTIME, why="checkpoints do not change the weights", validator=positive
    )
    save_total_limit: int = setting(
        2, effect=Effect.RUNTIME, why="checkpoints do not change the weights", validator=positive
    )


@frozen
class Stage:
    """A training run: what is trained on what, how, for how long."""

    judges: ClassVar[bool] = False
    """Whether what comes out scores texts, instead of going on with them."""

    model: str = reference("model", "train", "merge")
    datasets: tuple[str, ...] = reference("dataset")
    learning_rate: float = setting(effect=Effect.REBUILD, why=STEPS_DEPEND, validator=positive)

    num_epochs: float = setting(1.0, effect=Effect.LENGTH, why="the run has another length", validator=positive)
    max_steps: int = setting(0, effect=Effect.LENGTH, why="the run has another length", validator=not_negative)
    """0: as long as num_epochs says."""
    on_length_change: Literal["retrain", "continue"] = setting(
        "retrain", effect=Effect.METADATA, why="it says what a change of length does"
    )
    """What to do with another length where no checkpoint leads to the same run: "continue" accepts that it is not."""
    batch_size: int = setting(8, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=positive)
    """Rows that one optimizer step sees, over all processes and micro-batches."""
    micro_batch_size: int | Literal["auto"] = setting(
        "auto", effect=neutral_without_dropout, why="dropout masks are drawn for each micro-batch", validator=positive
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
    ] = setting("cosine", effect=Effect.REBUILD, why=STEPS_DEPEND)
    lr_scheduler_kwargs: SchedulerArguments = setting(
        Factory(SchedulerArguments), effect=Effect.REBUILD, why=STEPS_DEPEND
    )
    warmup_ratio: float = setting(0.0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=fraction)
    warmup_steps: int = setting(0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=not_negative)
    optimizer: str = setting("adamw_torch", effect=Effect.REBUILD, why=STEPS_DEPEND, validator=not_empty)
    adam_beta1: float = setting(0.9, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=fraction)
    adam_beta2: float = setting(0.999, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=fraction)
    adam_epsilon: float = setting(1e-8, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=positive)
    weight_decay: float = setting(0.0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=not_negative)
    max_grad_norm: float = setting(1.0, effect=Effect.REBUILD, why=STEPS_DEPEND, validator=not_negative)
    seed: int = setting(
        42, effect=Effect.REBUILD, why="order, initialisation and dropout follow it", validator=not_negative
    )

    sequence_len: int = setting(2048, effect=Effect.UPSTREAM, why="it decides the tokens", validator=positive)
    sample_packing: bool = setting(default=False, effect=Effect.UPSTREAM, why="it decides the tokens")
    excess_length_strategy: Literal["error", "drop", "truncate", "split"] = setting(
        "error", effect=Effect.UPSTREAM, why="it decides the tokens"
    )
    roles_to_train: tuple[str, ...] = setting(
        ("assistant",), effect=Effect.UPSTREAM, why="it decides the labels", validator=not_empty
    )
    train_on_eos: TrainOnEos = setting("turn", effect=Effect.UPSTREAM, why="it decides the labels")
    """Which of the tokens that end a turn are trained: those of trained messages, all, only the last, none."""
    val_set_size: float = setting(0.0, effect=Effect.UPSTREAM, why="it decides the rows", validator=fraction)
    test_datasets: tuple[str, ...] = reference(
        "dataset", default=(), effect=where_it_selects, why="it decides the weights only where evaluations do"
    )
    """What is evaluated on, instead of rows that are held back."""

    bf16: bool = setting(default=True, effect=Effect.REBUILD, why="the arithmetic has another precision")
    deterministic: bool = setting(
        default=False, effect=Effect.NUMERICS, why="the same arithmetic, by algorithms that always round alike"
    )
    """Whether each operation must have one result on one type of machine; what cannot is an error."""
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2", "flex_attention"] = setting(
        "sdpa", effect=Effect.NUMERICS, why="the same attention, rounded differently"
    )
    gradient_checkpointing: bool = setting(
        default=False, effect=Effect.RUNTIME, why="activations are computed again, bit by bit the same"
    )
    dataloader_num_workers: int = setting(
        0, effect=Effect.RUNTIME, why="rows arrive in the same order", validator=not_negative
    )
    logging_steps: int = setting(1, effect=Effect.RUNTIME, why="logs do not change the weights", validator=positive)
    description: str = setting("", effect=Effect.METADATA, why="it is a note")

    adapter: Adapter | None = setting(None, effect=Effect.REBUILD, why="other parameters are trained")
    """None: all weights are trained."""
    checkpoints: Checkpoints = setting(Factory(Checkpoints), effect=Effect.RUNTIME, why="checkpoints are no weights")
    evaluation: Evaluation | None = setting(None, effect=where_it_selects, why="measuring changes no weights")
    guards: Guards = setting(Factory(Guards), effect=Effect.RUNTIME, why="they watch")
    logging: Logging = setting(Factory(Logging), effect=Effect.RUNTIME, why="logs do not change the weights")
    distributed: Distributed = setting(
        Factory(Distributed), effect=neutral_without_dropout, why="every process draws dropout masks of its own"
    )
    trainer: dict[str, Plain] = setting(Factory(dict), effect=Effect.REBUILD, why="the trainer is configured by it")
    """Passed to the trainer's configuration class as it is."""


def schedule_of(settings: Mapping[str, Any], rows: int) -> Schedule:
    """The learning rates that a stage's settings imply for a number of rows, in one process."""
    micro = settings["micro_batch_size"]
    accumulation, sequences = settings["batch_size"] // micro, _sequences(settings, rows)
    steps = total_steps(sequences, micro, accumulation, settings["num_epochs"], settings["max_steps"])
    # transformers rounds a ratio up (TrainingArguments.get_warmup_steps).
    warmup = settings["warmup_steps"] or math.ceil(steps * settings["warmup_ratio"])
    scheduler = settings["lr_scheduler"]
    arguments = taken(scheduler, settings["lr_scheduler_kwargs"])
    return Schedule(scheduler, settings["learning_rate"], warmup, steps, arguments)


def _sequences(settings: Mapping[str, Any], rows: int) -> int:
    """How many sequences an epoch trains on: rows, or completions of prompts, of which a last few may be left out."""
    if "num_generations" not in settings:
        return rows
    batch = int(settings["batch_size"])
    return max(1, rows // max(1, batch // int(settings["num_generations"]))) * batch
