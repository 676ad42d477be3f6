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
}
_OURS = {
    "base_model": "model",
    "model_name_or_path": "model",
    "rl": "method",
    "gradient_accumulation_steps": "batch_size",
    "per_device_train_batch_size": "micro_batch_size",
    "eval_batch_size": "micro_batch_size",
    "num_train_epochs": "num_epochs",
    "max_length": "sequence_len",
    "max_seq_length": "sequence_len",
    "packing": "sample_packing",
    "train_on_inputs": "roles_to_train",
    "eot_tokens": "train_on_eos",
    "lr_scheduler_type": "lr_scheduler",
    "optim": "optimizer",
    "flash_attention": "attn_implementation",
    "sdp_attention": "attn_implementation",
    "save_steps": "checkpoints.save_steps",
    "saves_per_epoch": "checkpoints.save_steps",
    "save_strategy": "checkpoints.save_steps",
    "save_total_limit": "checkpoints.save_total_limit",
    **{name: f"evaluation.{name}" for name in ("eval_steps", "evals_per_epoch", "load_best_model_at_end")},
    **{name: f"evaluation.{name}" for name in ("early_stopping_patience", "metric_for_best_model")},
    **{name: f"guards.{name}" for name in ("loss_watchdog_threshold", "loss_watchdog_patience")},
    "report_to": "logging.report_to",
    "wandb_project": "logging.project",
    "wandb_name": "logging.run_name",
    "trackio_project_name": "logging.project",
    "trackio_run_name": "logging.run_name",
    "deepspeed": "distributed.config",
    "fsdp": "distributed.strategy",
    "fsdp_config": "distributed.strategy",
    "lora_model_dir": "model",
}
_LIGER = ("rope", "rms_norm", "layer_norm")
_PASSED_ON = {
    "pad_to_sequence_len": "pad_to_multiple_of",
    "pad_to_multiple_of": "pad_to_multiple_of",
    "ddp_find_unused_parameters": "ddp_find_unused_parameters",
    "average_tokens_across_devices": "average_tokens_across_devices",
}
_MODEL = ("chat_template", "special_tokens", "tokens", "trust_remote_code", "rope_scaling")
_ENVIRONMENT = ("wandb_entity", "wandb_watch", "wandb_log_model", "trackio_space_id")
_OUT = {
    "output_dir": "Remove it: `tune output ADDRESS` says where it is, and an `export` puts it where you want it.",
    "dataset_prepared_path": "Remove it: tokens are kept in `.tune/`, by what they are made from.",
    "skip_prepare_dataset": "Remove it: tokens are made once, before training.",
    "resume_from_checkpoint": "Remove it: a plan says by itself from which checkpoint a run goes on.",
    "auto_resume_from_checkpoints": "Remove it: a plan says by itself from which checkpoint a run goes on.",
    "lora_target_linear": 'Set `adapter.target_modules` = "all-linear", which is the default.',
    "model_type": "Remove it: the folder of the model says it.",
    "tokenizer_type": "Remove it: the folder of the model says it.",
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
        **dict.fromkeys(_MODEL, "Write it into the table of the model."),
        **dict.fromkeys(_ENVIRONMENT, "Remove it: trackers take it from their own environment variables."),
        **_OUT,
    }
