"""Fields of a training run, tried: what is called runtime changes no bit, what is called numerics hardly one."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from executor.methods.sft import Sft
from executor.models.adapter_fields import Adapter
from executor.training.checkpoint_fields import Checkpoints
from executor.training.evaluation_fields import Evaluation
from executor.training.guard_fields import Guards
from executor.training.kernel_fields import GradientCheckpointing
from executor.training.logging_fields import Logging
from planner.effects import Effect, declared
from planner.structure import settings_of
from tests.executor.test_train_fields import ANSWERED, GUARDS, leaves
from tests.executor.test_training import (
    BASIC,
    Laboratory,
    Trained,
    laboratory,
    run,
)

__all__ = ["laboratory"]
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

SHORT = evolve(BASIC, max_steps=3, val_set_size=0.25, adapter=Adapter(r=4))
DROPPED = evolve(SHORT, adapter=Adapter(r=4, lora_dropout=0.1))
CHECKPOINTED = {"gradient_checkpointing": True}
GUARDED = tuple(f"guards.{name}" for name in GUARDS)
SELECTS = {"evaluation.early_stopping_patience", "evaluation.load_best_model_at_end"}
"""What makes evaluation decide the weights: then it is no matter of runtime."""
SELECTION = tuple(
    f"evaluation.{name}" for name in ("early_stopping_threshold", "metric_for_best_model", "greater_is_better")
)

RUNTIME: dict[tuple[str, ...], dict[str, Any]] = {
    ("gradient_checkpointing",): CHECKPOINTED,
    ("gradient_checkpointing_kwargs.use_reentrant",): {
        **CHECKPOINTED,
        "gradient_checkpointing_kwargs": GradientCheckpointing(use_reentrant=True),
    },
    ("activation_offloading",): {"activation_offloading": True},
    ("dataloader_num_workers", "dataloader_prefetch_factor"): {
        "dataloader_num_workers": 1,
        "dataloader_prefetch_factor": 3,
    },
    ("dataloader_pin_memory", "logging_steps"): {"dataloader_pin_memory": False, "logging_steps": 2},
    ("checkpoints.save_steps", "checkpoints.save_total_limit"): {
        "checkpoints": Checkpoints(save_steps=1, save_total_limit=1)
    },
    ("evaluation", "evaluation.eval_steps"): {"evaluation": Evaluation(eval_steps=1)},
    tuple(f"evaluation.{name}" for name, _ in ANSWERED): {
        "evaluation": Evaluation(eval_steps=2, metrics=("f1",), answers=1, max_new_tokens=4, samples=1)
    },
    ("evaluation.evals_per_epoch", *SELECTION): {
        "evaluation": Evaluation(
            evals_per_epoch=2,
            early_stopping_threshold=0.1,
            metric_for_best_model="token_accuracy",
            greater_is_better=True,
        )
    },
    GUARDED: {
        "guards": Guards(
            loss_watchdog_threshold=99,
            exploding_loss=9,
            flat_loss_steps=9,
            clipped_steps=9,
            equal_rewards_steps=9,
            cut_completions_steps=9,
        )
    },
    ("logging.project", "logging.run_name"): {"logging": Logging(project="mine", run_name="mine")},
}
NUMERICS: dict[tuple[str, ...], dict[str, Any]] = {
    ("micro_batch_size", "auto_micro_batch"): {"micro_batch_size": 2, "auto_micro_batch": True},
    ("tf32",): {"tf32": True},
    ("attn_implementation",): {"attn_implementation": "eager"},
    ("cross_entropy",): {"cross_entropy": "standard"},
    ("torch_compile", "torch_compile_backend"): {"torch_compile": True, "torch_compile_backend": "aot_eager"},
}
ELSEWHERE = {
    "use_liger_kernel",  # kernels for GPUs
    "liger_kernel_config",
    "torch_compile_mode",  # "inductor" compiles for half a minute; it rounds as the others do
    "deterministic",  # changes the whole process
    "logging.report_to",  # trackers have their own tests, and so has all that several processes do
    *(path for path in leaves(Sft) if path.startswith("distributed.")),
}
"""What is not tried here."""


def declared_as(wanted: Effect) -> set[str]:
    """The fields that have an effect, for an adapter without dropout."""
    rules = {path: declared(Sft, path).effect for path in leaves(Sft)}
    effects = {path: rule if isinstance(rule, Effect) else rule(settings_of(SHORT), {}) for path, rule in rules.items()}
    return {path for path, effect in effects.items() if effect is wanted}


def test_every_field_that_is_said_to_be_harmless_is_tried() -> None:
    assert {path for paths in RUNTIME for path in paths} == declared_as(Effect.RUNTIME) - SELECTS - ELSEWHERE
    assert {path for paths in NUMERICS for path in paths} == declared_as(Effect.NUMERICS) - ELSEWHERE


@pytest.fixture(scope="module")
def plain(laboratory: Laboratory) -> Trained:
    return run(laboratory.task(SHORT))


def test_the_order_of_rows_follows_the_seed_where_it_has_none_of_its_own(
    laboratory: Laboratory, dropped: Trained
) -> None:
    assert run(laboratory.task(evolve(DROPPED, data_seed=DROPPED.seed))).weights == dropped.weights


@pytest.fixture(scope="module")
def dropped(laboratory: Laboratory) -> Trained:
    return run(laboratory.task(DROPPED))


@pytest.mark.parametrize("paths", RUNTIME)
def test_what_is_called_runtime_changes_no_bit(
    laboratory: Laboratory, dropped: Trained, paths: tuple[str, ...]
) -> None:
    assert run(laboratory.task(evolve(DROPPED, **RUNTIME[paths]))).weights == dropped.weights


@pytest.mark.parametrize("paths", NUMERICS)
def test_what_is_called_numerics_only_rounds_otherwise(
    laboratory: Laboratory, plain: Trained, paths: tuple[str, ...]
) -> None:
    from safetensors.torch import load

    one, other = load(plain.weights), load(run(laboratory.task(evolve(SHORT, **NUMERICS[paths]))).weights)
    assert max((one[name] - other[name]).abs().max() for name in one) < 1e-5
