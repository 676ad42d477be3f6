"""Names that Axolotl, transformers and PEFT have for what `[train.NAME]` calls otherwise, each with what to write."""

from __future__ import annotations

from collections.abc import Mapping

_ADAPTER = {
    "lora_r": "r",
    "lora_alpha": "lora_alpha",
    "lora_dropout": "lora_dropout",
    "lora_target_modules": "target_modules",
    "lora_modules_to_save": "modules_to_save",
    "lora_target_parameters": "target_parameters",
    "peft_use_rslora": "use_rslora",
    "peft_init_lora_weights": "init_lora_weights",
    "peft_use_dora": "type",
    "finetuning_type": "type",
    "lora_rank": "r",
    "lora_target": "target_modules",
    "additional_target": "modules_to_save",
}
_OURS = {
    "base_model": "model",
    "model_name_or_path": "model",
    "rl": "method",
    "reward_model": "method",
    "stage": "method",
    "gradient_accumulation_steps": "batch_size",
    "per_device_train_batch_size": "micro_batch_size",
    "eval_batch_size": "micro_batch_size",
    "per_device_eval_batch_size": "micro_batch_size",
    "auto_find_batch_size": "auto_micro_batch",
    "num_train_epochs": "num_epochs",
    "max_length": "sequence_len",
    "max_seq_length": "sequence_len",
    "cutoff_len": "sequence_len",
    "max_packed_sequence_len": "sequence_len",
    "max_prompt_length": "sequence_len",
    "packing": "sample_packing",
    "dataset": "datasets",
    "val_size": "val_set_size",
    "adam_eps": "adam_epsilon",
    "float16": "fp16",
    "bfloat16": "bf16",
    "quantization_bit": "load_in_4bit",
    "train_on_inputs": "roles_to_train",
    "eot_tokens": "train_on_eos",
    "lr_scheduler_type": "lr_scheduler",
    "optim": "optimizer",
    "flash_attention": "attn_implementation",
    "flash_attn": "attn_implementation",
    "flash_optimum": "attn_implementation",
    "sdp_attention": "attn_implementation",
    "save_steps": "checkpoints.save_steps",
    "saves_per_epoch": "checkpoints.save_steps",
    "save_strategy": "checkpoints.save_steps",
    "save_total_limit": "checkpoints.save_total_limit",
    **{name: f"evaluation.{name}" for name in ("eval_steps", "evals_per_epoch", "load_best_model_at_end")},
    **{name: f"evaluation.{name}" for name in ("early_stopping_patience", "metric_for_best_model")},
    **{name: f"guards.{name}" for name in ("loss_watchdog_threshold", "loss_watchdog_patience")},
    **dict.fromkeys(("eval_strategy", "evaluation_strategy"), "evaluation.eval_steps"),
    "eta_min": "lr_scheduler_kwargs.min_lr",
    "cosine_min_lr_ratio": "lr_scheduler_kwargs.min_lr_rate",
    "report_to": "logging.report_to",
    **dict.fromkeys(("use_wandb", "use_mlflow", "use_tensorboard"), "logging.report_to"),
    "wandb_project": "logging.project",
    "wandb_name": "logging.run_name",
    "trackio_project_name": "logging.project",
    "trackio_run_name": "logging.run_name",
    "deepspeed": "distributed.config",
    "fsdp": "distributed.strategy",
    "fsdp_config": "distributed.strategy",
    "fsdp_version": "distributed.strategy",
    "ddp": "distributed.strategy",
    "dp_shard_size": "distributed.processes",
    "dp_replicate_size": "distributed.processes",
    "lora_model_dir": "model",
}
_LIGER = ("rope", "rms_norm", "layer_norm")
_PASSED_ON = {
    "pad_to_sequence_len": "pad_to_multiple_of",
    "pad_to_multiple_of": "pad_to_multiple_of",
    "ddp_find_unused_parameters": "ddp_find_unused_parameters",
    "average_tokens_across_devices": "average_tokens_across_devices",
}
_MODEL = {
    **{name: name for name in ("chat_template", "special_tokens", "tokens", "trust_remote_code", "rope_scaling")},
    **dict.fromkeys(("revision_of_model", "model_revision"), "revision"),
    "template": "chat_template",
}
_FUSED = (
    *("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel", "use_kernels", "experts_implementation"),
    *("use_scattermoe", "use_sonicmoe", "fused_attn_kernel", "flash_attn_fuse_mlp", "liger_rms_norm_gated"),
    *("gemma4_hybrid_attn_impl", "flex_attn_compile_kwargs"),
)
_IN_THE_FOLDER = (
    *("model_type", "tokenizer_type", "tokenizer_use_mistral_common", "tokenizer_use_fast", "tokenizer_legacy"),
    *("model_config", "llama4_linearized_experts", "lora_fan_in_fan_out"),
    *("gptq", "gptq_groupsize", "gptq_model_v1", "model_quantization_config", "model_quantization_config_kwargs"),
)
_PARALLEL = ("context_parallel_size", "tensor_parallel_size", "expert_parallel_size")
_FUSED_LOSS = ("liger_fused_linear_cross_entropy", "flash_attn_cross_entropy", "cut_cross_entropy")
_SWANLAB = ("use_swanlab", *(f"swanlab_{name}" for name in ("project", "experiment_name", "description", "mode")))
_ENVIRONMENT = ("wandb_entity", "wandb_watch", "wandb_log_model", "trackio_space_id")
_OUT = {
    "output_dir": "Remove it: `tune output ADDRESS` says where it is, and an `export` puts it where you want it.",
    "dataset_prepared_path": "Remove it: tokens are kept in `.tune/`, by what they are made from.",
    "skip_prepare_dataset": "Remove it: tokens are made once, before training.",
    "resume_from_checkpoint": "Remove it: a plan says by itself from which checkpoint a run goes on.",
    "auto_resume_from_checkpoints": "Remove it: a plan says by itself from which checkpoint a run goes on.",
    "lora_target_linear": 'Set `adapter.target_modules` = "all-linear", which is the default.',
    "plugins": "Remove it: fields of their own say what is wanted, and methods and kinds come with what is installed.",
    "strict": "Remove it: a field that does not exist is always an error.",
    "processor_type": "Remove it: rows of text are what is trained on.",
    "quantize_moe_experts": 'Set `load_in_4bit`, or `adapter.type` = "qlora".',
    "bnb_config_kwargs": "Write what is in it beside it: `bnb_4bit_quant_type`, `bnb_4bit_use_double_quant`.",
    "torchdistx_path": "Remove it: no optimizer that there is needs it.",
    "ebft": 'Write a method that learns from rewards: "grpo" or "rloo".',
    "qat": 'Remove it: an `export` rounds what has been trained, and "qlora" trains beside rounded weights.',
    "experimental_skip_move_to_device": "Remove it: the strategy in `distributed` decides it.",
    "device_map": "Remove it: the strategy in `distributed` decides it.",
    "local_rank": "Remove it: processes get their numbers from whoever starts them.",
    "trl": 'Write what is in it into this table, beside method = "grpo".',
    "resize_token_embeddings_to_32x": "Remove it: tokens that the model adds get their rows.",
    "debug": "Remove it: `tune preview` shows rows as they are trained.",
    "shuffle_merged_datasets": "Remove it: rows come in an order that `data_seed` decides, or `seed` without it.",
    "num_labels": "Remove it: a reward model gives one score.",
    "cosine_constant_lr_ratio": 'Use another `lr_scheduler`: "warmup_stable_decay" holds a rate, too.',
    "save_only_model": "Remove it: a checkpoint without the optimizer could not be continued.",
    "min_sample_len": "Write a filter into the table of the dataset.",
    "dataset_exact_deduplication": "Write `deduplicate = true` into the table of the dataset.",
    "rpo_alpha": 'Write loss_type = ["sigmoid", "sft"], with the second of `loss_weights` for it.',
    "reference_free": 'Write method = "simpo" or "cpo": they compare with no reference.',
    "generate_during_eval": "Remove it: an `eval` of the result gives answers.",
    "full_finetune": "Remove it: without a table `adapter`, all weights are trained.",
    "merge_adapters": "Write a `merge` that names this run as its `adapter`.",
    "hf_use_auth_token": "Remove it: the token is taken from the environment, as HF_TOKEN.",
    "save_safetensors": "Remove it: weights are always written so.",
    "remove_unused_columns": "Remove it: tokens hold nothing that is not used.",
    "eval_sample_packing": "Remove it: rows to evaluate on are never packed.",
    "pretraining_dataset": 'Name a `dataset` of type = "pretrain" in `datasets`.',
    "push_dataset_to_hub": "Remove it: tokens stay where they are made.",
    "hub_model_id": 'Write an `export` with to = "hub:organisation/name".',
    "liger_glu_activation": "Set `use_liger_kernel`; `liger_kernel_config.swiglu` says which.",
    "val_set": "Set `val_set_size`, or `test_datasets`.",
}


def hints() -> Mapping[str, str]:
    """What to do instead, by the name that is known elsewhere."""
    return {
        **{name: f"Use `{ours}`." for name, ours in _OURS.items()},
        **{name: f"Write it into the table `adapter`, as `{ours}`." for name, ours in _ADAPTER.items()},
        **{f"liger_{name}": f"Set `use_liger_kernel`; `liger_kernel_config.{name}` says which." for name in _LIGER},
        **{name: f"Use `trainer.{passed}`, which is handed to TRL." for name, passed in _PASSED_ON.items()},
        **{name: "Write it into the table of the model" + _as(name, ours) for name, ours in _MODEL.items()},
        **dict.fromkeys(_FUSED, "Remove it: `use_liger_kernel` and `attn_implementation` say which kernels are used."),
        **dict.fromkeys(_FUSED_LOSS, "Remove it: TRL has a fused loss of its own."),
        **dict.fromkeys(_IN_THE_FOLDER, "Remove it: the folder of the model says it."),
        **dict.fromkeys(_PARALLEL, "Remove it: there is none; `distributed` shares a model out with FSDP or ZeRO."),
        **dict.fromkeys(_SWANLAB, "Remove it: `logging.report_to` takes the trackers that there are."),
        **dict.fromkeys(_ENVIRONMENT, "Remove it: trackers take it from their own environment variables."),
        **_OUT,
    }


def _as(name: str, ours: str) -> str:
    return "." if name == ours else f", as `{ours}`."
