"""`[train.NAME.trainer]`: what is passed on to a trainer's configuration class, and what none may name there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from executor.training import conditional_arguments, trainer_values
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
    "logging_strategy": "logging_steps",
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
        # Batches would come as workers happen to be ready, in no order that a run could be resumed in.
        "dataloader_in_order",
        # Weights are cast for an evaluation, and would come out of training so.
        "bf16_full_eval",
        "fp16_full_eval",
        # A run that ended early would end again where it is continued.
        "restore_callback_states_from_checkpoint",
        # Nodes share the folder that checkpoints are written to.
        "save_on_each_node",
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
        "log_completions_hub_repo",
        *("hub_token", "hub_model_id", "hub_strategy", "hub_private_repo", "hub_revision", "hub_always_push"),
        "trust_remote_code",
        "save_only_model",
        "dataset_text_field",
        "chat_template_path",
        "eos_token",
        "pad_token",
        "length_column_name",
        "padding_value",
        "label_names",
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
UNHEEDED = frozenset(
    {
        # Of the preparation of rows, which are token rows already.
        *("dataset_num_proc", "chat_template_kwargs", "max_completion_length"),
        # Of a function that trainers may be given to compute metrics.
        *("batch_eval_metrics", "include_for_metrics", "eval_do_concat_batches", "eval_use_gather_object"),
        "prediction_loss_only",
        "skip_memory_metrics",
        # Of tools and pictures.
        *("max_tool_calling_iterations", "log_multimodal"),
    }
)
"""Arguments that change nothing about how rows, metrics and answers come to a trainer here."""
ACCELERATED = ("non_blocking", "gradient_accumulation_kwargs.sync_each_batch")
"""What of `accelerator_config` changes neither which rows a step sees nor in which order."""

GENERATION = {
    "max_new_tokens": "max_completion_length",
    "num_return_sequences": "num_generations",
    "temperature": "temperature",
    "top_p": "top_p",
}
"""Names in `generation_kwargs`, which would win over the fields of the recipe."""


def faults(stage: Stage, method: Method) -> Iterator[Fault]:
    """What is wrong with the names in the table, and with fields that the method's trainer has no argument for."""
    accepted = method.trainer_arguments
    if stage.activation_offloading and "activation_offloading" not in accepted:
        yield "activation_offloading", f"the trainer of {method.name} cannot do it", "Remove it."
    for name, value in stage.trainer.items():
        path = f"trainer.{name}"
        if name in OWNED or name in method.own_fields:
            yield path, "the recipe has a field of its own for this", f"Use `{OWNED.get(name, name)}`."
        elif name in FORBIDDEN:
            yield path, "tune decides this itself", "Remove it."
        elif name in UNHEEDED or (name == "shuffle_dataset" and method.layout != "prompts"):
            yield path, "it would do nothing here", "Remove it."
        elif name not in accepted:
            yield path, "the trainer has no such argument", _instead(name, method)
        elif wrong := trainer_values.expected(name, value):
            yield path, wrong, ""
    yield from conditional_arguments.faults(stage, method)
    yield from _accelerator_faults(stage.trainer.get("accelerator_config", {}))
    drawn = stage.trainer.get("generation_kwargs")
    for name in drawn if isinstance(drawn, Mapping) else ():
        if name in GENERATION:
            detail, hint = "the recipe has a field of its own for this", f"Use `{GENERATION[name]}`."
            yield f"trainer.generation_kwargs.{name}", detail, hint


def _accelerator_faults(table: object) -> Iterator[Fault]:
    """What accelerate is told of rows and batches, which would be other ones than the recipe says."""
    path = "trainer.accelerator_config"
    if not isinstance(table, Mapping):
        yield path, "what is not in the recipe itself is no part of what a model is made from", "Write it as a table."
        return
    inner = table.get("gradient_accumulation_kwargs", {})
    within = [f"gradient_accumulation_kwargs.{name}" for name in inner] if isinstance(inner, Mapping) else []
    for name in (*within, *(one for one in table if one != "gradient_accumulation_kwargs" or not within)):
        if name not in ACCELERATED:
            yield f"{path}.{name}", "tune decides this itself", f"There may be {' and '.join(ACCELERATED)}."


def _instead(name: str, method: Method) -> str:
    """What to write instead of an argument that there is not: the recipe may have a field for what it means."""
    if name in fields(method.specification):
        return f"Use `{name}`, which is a field of the recipe."
    known = "Names are those of TRL's configuration class of the method."
    return hints().get(name) or suggestion(name, sorted(method.trainer_arguments)) or known
