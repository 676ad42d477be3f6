"""Arguments of `[train.NAME.trainer]` that a trainer heeds only where something else is set, and what that is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from executor.training.method import Fault, Method
from executor.training.stage import Stage
from state.values import frozen

Test: TypeAlias = Callable[[Any], bool]


@frozen
class Condition:
    """What must be set, in words for `it does nothing without ...`, and whether a stage has it."""

    words: str
    holds: Test


def _loss(name: str) -> Condition:
    def holds(stage: Any) -> bool:  # noqa: ANN401  a stage of a method with losses
        return name in ([stage.loss_type] if isinstance(stage.loss_type, str) else stage.loss_type)

    return Condition(f'`loss_type` = "{name}"', holds)


def _told(name: str, value: object = True) -> Condition:  # noqa: FBT002  what most of them are
    words = f"`trainer.{name}`" if value is True else f'`trainer.{name}` = "{value}"'
    return Condition(words, lambda stage: stage.trainer.get(name) == value)


_VLLM = Condition("`use_vllm`", lambda stage: bool(stage.use_vllm))
_WORKERS = Condition("`dataloader_num_workers`", lambda stage: bool(stage.dataloader_num_workers))
_TRACKIO = Condition('"trackio" in `logging.report_to`', lambda stage: "trackio" in stage.logging.report_to)
_ADAPTIVE = _told("use_adaptive_entropy")
_EVALUATION = Condition("an `evaluation` table", lambda stage: stage.evaluation is not None)
CONDITIONS: Mapping[str, Condition] = {
    "dataloader_persistent_workers": _WORKERS,
    "dataloader_multiprocessing_context": _WORKERS,
    "eval_delay": _EVALUATION,
    "eval_on_start": _EVALUATION,
    **dict.fromkeys(("trackio_bucket_id", "trackio_space_id", "trackio_static_space_id"), _TRACKIO),
    "precompute_ref_batch_size": Condition(
        "`precompute_ref_log_probs`", lambda stage: bool(stage.precompute_ref_log_probs)
    ),
    "discopop_tau": _loss("discopop"),
    "f_alpha_divergence_coef": _told("f_divergence_type", "alpha_divergence"),
    **dict.fromkeys(("sapo_temperature_neg", "sapo_temperature_pos"), _loss("sapo")),
    **dict.fromkeys(("vespo_k_neg", "vespo_k_pos", "vespo_lambda_neg", "vespo_lambda_pos"), _loss("vespo")),
    **dict.fromkeys(("entropy_coef_delta", "entropy_coef_max", "entropy_coef_min", "entropy_target"), _ADAPTIVE),
    "use_bias_correction_kl": Condition("`beta`", lambda stage: bool(stage.beta)),
    "transformers_continuous_batching_config": _told("use_transformers_continuous_batching"),
    **dict.fromkeys(("log_unique_prompts", "num_completions_to_print"), _told("log_completions")),
}


def faults(stage: Stage, method: Method) -> Iterator[Fault]:
    """Arguments that would do nothing, because what they are about is not wanted."""
    for name in stage.trainer:
        condition = _VLLM if name.startswith("vllm_") else CONDITIONS.get(name)
        if condition is not None and name in method.trainer_arguments and not condition.holds(stage):
            yield f"trainer.{name}", f"it does nothing without {condition.words}", "Set that, or remove it."
