"""`[train.NAME.trainer]`: what is passed on to a trainer's configuration class, and what none may name there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from executor.training.known_elsewhere import hints
from executor.training.method import Fault, Method
from executor.training.stage import Stage
from planner.effects import fields
from state.wording import suggestion

OWNED = {
    "train_sampling_strategy": "group_by_length",
    "gradient_checkpointing_kwargs": "gradient_checkpointing_kwargs",
    "per_device_train_batch_size": "micro_batch_size",
    "auto_find_batch_size": "auto_micro_batch",
    "gradient_accumulation_steps": "batch_size",
    "num_train_epochs": "num_epochs",
    "lr_scheduler_type": "lr_scheduler",
    "lr_scheduler_kwargs": "lr_scheduler_kwargs",
    "optim": "optimizer",
    "max_length": "sequence_len",
    "packing": "sample_packing",
    "full_determinism": "deterministic",
    "gradient_checkpointing": "gradient_checkpointing",
    "activation_checkpointing": "gradient_checkpointing",
    "activation_checkpointing_kwargs": "gradient_checkpointing_kwargs",
    "save_steps": "checkpoints.save_steps",
    "save_total_limit": "checkpoints.save_total_limit",
    "eval_steps": "evaluation.eval_steps",
    "eval_strategy": "evaluation.eval_steps",
    "load_best_model_at_end": "evaluation.load_best_model_at_end",
    "metric_for_best_model": "evaluation.metric_for_best_model",
    "report_to": "logging.report_to",
    "run_name": "logging.run_name",
    "project": "logging.project",
    "greater_is_better": "evaluation.greater_is_better",
    **{
        name: name
        for name in (
            "learning_rate",
            "max_steps",
            "warmup_steps",
            "adam_beta1",
            "adam_beta2",
            "adam_epsilon",
            "weight_decay",
            "max_grad_norm",
            "seed",
            "data_seed",
            "logging_steps",
            "neftune_noise_alpha",
            "bf16",
            "fp16",
            "tf32",
            "optim_args",
            "optim_target_modules",
            "activation_offloading",
            "torch_compile",
            "torch_compile_backend",
            "torch_compile_mode",
            "use_liger_kernel",
            "liger_kernel_config",
            "dataloader_num_workers",
            "dataloader_prefetch_factor",
            "dataloader_pin_memory",
            "label_smoothing_factor",
        )
    },
}
"""Arguments of trainers that the recipe has fields for, under those fields' names."""
FORBIDDEN = frozenset(
    {
        "output_dir",
        "save_strategy",
        "per_device_eval_batch_size",
        "use_cpu",
        # An epoch would have fewer steps than a plan counts, by which it warms up, and says what is the same run.
        "dataloader_drop_last",
        "disable_tqdm",
        "logging_nan_inf_filter",
        "remove_unused_columns",
        "use_cache",
        "dataset_kwargs",
        "padding_free",
        "packing_strategy",
        "eval_packing",
        "assistant_only_loss",
        "completion_only_loss",
        "resume_from_checkpoint",
        "ignore_data_skip",
        "enable_jit_checkpoint",
        "parallelism_config",
        "local_rank",
        "push_to_hub",
        *("hub_token", "hub_model_id", "hub_strategy", "hub_private_repo", "hub_revision", "hub_always_push"),
        "trust_remote_code",
        "save_only_model",
        "dataset_text_field",
        "chat_template_path",
        "eos_token",
        "pad_token",
        "length_column_name",
        "deepspeed",
        "fsdp",
        "fsdp_config",
        "model_init_kwargs",
        "sync_ref_model",
        "ref_model_mixup_alpha",
        "ref_model_sync_steps",
        "truncation_mode",
        "generate_during_eval",
        "is_encoder_decoder",
        # A run that reuses completions could not be resumed to the same: they are not in a checkpoint.
        "num_iterations",
        "steps_per_generation",
        "generation_batch_size",
        "teacher_model_name_or_path",
        "teacher_model_revision",
        "teacher_model_init_kwargs",
        "do_train",
        "do_eval",
        "do_predict",
    }
)
"""Arguments that would take out of tune's hands what it must be able to promise."""


def faults(stage: Stage, method: Method) -> Iterator[Fault]:
    """What is wrong with the names in the table, and with fields that the method's trainer has no argument for."""
    accepted = method.trainer_arguments
    if stage.activation_offloading and "activation_offloading" not in accepted:
        yield "activation_offloading", f"the trainer of {method.name} cannot do it", "Remove it."
    for name in stage.trainer:
        path = f"trainer.{name}"
        if name in OWNED or name in method.own_fields:
            yield path, "the recipe has a field of its own for this", f"Use `{OWNED.get(name, name)}`."
        elif name in FORBIDDEN:
            yield path, "tune decides this itself", "Remove it."
        elif name not in accepted:
            yield path, "the trainer has no such argument", _instead(name, method)
    accelerated = stage.trainer.get("accelerator_config")
    if isinstance(accelerated, Mapping) and accelerated.get("split_batches"):
        detail = "with several processes, an optimizer step would see fewer rows than `batch_size` says"
        yield "trainer.accelerator_config.split_batches", detail, "Remove it."


def _instead(name: str, method: Method) -> str:
    """What to write instead of an argument that there is not: the recipe may have a field for what it means."""
    if name in fields(method.specification):
        return f"Use `{name}`, which is a field of the recipe."
    known = "Names are those of TRL's configuration class of the method."
    return hints().get(name) or suggestion(name, sorted(method.trainer_arguments)) or known
