"""The recipe fields that all training methods share, each with what a change to it forces."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import Factory

from executor.models.adapter_fields import OTHER_PARAMETERS, Adapter
from executor.templating.turn_ends import TrainOnEos
from executor.training.checkpoint_fields import Checkpoints
from executor.training.distributed_fields import DRAWS, Distributed, neutral_among_processes
from executor.training.evaluation_fields import MEASURED, Evaluation, where_it_selects
from executor.training.guard_fields import Guards
from executor.training.kernel_fields import Kernels
from executor.training.logging_fields import Logging
from executor.training.optimization_fields import Optimization
from executor.training.precision_fields import Precision
from planner.effects import Effect, reference, setting
from planner.limits import fraction, not_empty, patterns, positive, tags
from state.canonical import Plain
from state.values import frozen


@frozen(kw_only=True)
class Stage(Kernels, Precision, Optimization):
    """A training run: what is trained on what, how, for how long."""

    judges: ClassVar[bool] = False
    """Whether what comes out scores texts, instead of going on with them."""

    model: str = reference("model", "train", "merge")
    datasets: tuple[str, ...] = reference("dataset")

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

    deterministic: bool = setting(
        default=False, effect=Effect.NUMERICS, why="the same arithmetic, by algorithms that always round alike"
    )
    """Whether each operation must have one result on one type of machine; what cannot is an error."""
    logging_steps: int = setting(1, effect=Effect.RUNTIME, why="logs do not change the weights", validator=positive)
    description: str = setting("", effect=Effect.METADATA, why="it is a note")
    tags: tuple[str, ...] = setting((), effect=Effect.METADATA, why="they are notes", validator=tags)
    """What to find it by, with `tune state list --tag`; a model's card and a bill of materials have them, too."""

    adapter: Adapter | None = setting(None, effect=Effect.REBUILD, why=OTHER_PARAMETERS)
    """None: all weights are trained."""
    unfrozen_parameters: tuple[str, ...] = setting((), effect=Effect.REBUILD, why=OTHER_PARAMETERS, validator=patterns)
    """Without an adapter: regular expressions for the beginnings of names; only what fits one of them is trained."""
    checkpoints: Checkpoints = setting(Factory(Checkpoints), effect=Effect.RUNTIME, why="checkpoints are no weights")
    evaluation: Evaluation | None = setting(None, effect=where_it_selects, why=MEASURED)
    guards: Guards = setting(Factory(Guards), effect=Effect.RUNTIME, why="they watch")
    logging: Logging = setting(Factory(Logging), effect=Effect.RUNTIME, why="logs do not change the weights")
    distributed: Distributed = setting(Factory(Distributed), effect=neutral_among_processes, why=DRAWS)
    trainer: dict[str, Plain] = setting(Factory(dict), effect=Effect.REBUILD, why="the trainer is configured by it")
    """Passed to the trainer's configuration class as it is."""
