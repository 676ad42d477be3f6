"""What values arguments of `[train.NAME.trainer]` take: trainers check no types, and some are passed over if unknown.

Arguments that hold texts, lists or tables of any kind are left to the trainer.
"""

from __future__ import annotations

from collections.abc import Mapping

from executor.training.trainer_arguments import named
from state.wording import show

SWITCHES = named(
    """
    average_tokens_across_devices cast_lm_head_to_fp32 dataloader_persistent_workers ddp_broadcast_buffers
    ddp_find_unused_parameters ddp_static_graph ds3_gather_for_generation eval_on_start log_completions
    log_on_each_node log_unique_prompts logging_first_step mask_truncated_completions shuffle_dataset
    use_adaptive_entropy use_bias_correction_kl use_transformers_continuous_batching use_transformers_paged
    use_weighting vllm_enable_sleep_mode vllm_importance_sampling_correction
    """
)
WHOLE_NUMBERS = named(
    """
    ddp_bucket_cap_mb ddp_timeout eval_accumulation_steps num_completions_to_print num_generations_eval
    pad_to_multiple_of precompute_ref_batch_size top_k torch_empty_cache_steps vllm_group_port
    vllm_max_model_length vllm_server_port vllm_tensor_parallel_size
    """
)
NUMBERS = named(
    """
    alpha delta discopop_tau entropy_coef entropy_coef_delta entropy_coef_max entropy_coef_min entropy_target
    epsilon_high eval_delay f_alpha_divergence_coef ld_alpha min_p off_policy_mask_threshold repetition_penalty
    router_aux_loss_coef sapo_temperature_neg sapo_temperature_pos simpo_gamma top_entropy_quantile vespo_k_neg
    vespo_k_pos vespo_lambda_neg vespo_lambda_pos vllm_gpu_memory_utilization vllm_importance_sampling_cap
    vllm_importance_sampling_clip_max vllm_importance_sampling_clip_min vllm_server_timeout
    """
)
_LEVELS = ("detail", "debug", "info", "warning", "error", "critical", "passive")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "dataloader_multiprocessing_context": ("fork", "spawn", "forkserver"),
    "f_divergence_type": ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"),
    "importance_sampling_level": ("token", "sequence"),
    "loss_type": ("nll", "chunked_nll", "dft"),
    "log_level": _LEVELS,
    "log_level_replica": _LEVELS,
    "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
    "vllm_mode": ("server", "colocate"),
    "vllm_model_impl": ("vllm", "transformers"),
}


def expected(name: str, value: object) -> str:
    """What an argument wants instead of a value, in words; "" if it takes it."""
    match name:
        case _ if name in SWITCHES:
            wanted, fits = "true or false", isinstance(value, bool)
        case _ if name in WHOLE_NUMBERS:
            wanted, fits = "a whole number", type(value) is int
        case _ if name in NUMBERS:
            wanted, fits = "a number", type(value) in (int, float)
        case _:
            known = CHOICES.get(name, ())
            wanted, fits = f"one of {', '.join(map(show, known))}", not known or value in known
    return "" if fits else f"expected {wanted}; got {show(value)}"
