"""Names of other tools' fields lead to ours, and nowhere else."""

from __future__ import annotations

import re

import pytest

from executor import kinds
from executor.methods.sft import Sft
from executor.training.known_elsewhere import hints
from executor.training.trainer_arguments import SFT
from planner.effects import fields, table_class
from planner.recipe import parse
from state.diagnostic import ProblemError

RECIPE = """\
[model.m]
source = "m"
[dataset.d]
source = "d.jsonl"
[train.t]
method = "sft"
model = "model.m"
datasets = ["dataset.d"]
learning_rate = 1e-4
"""
MOST_USED = """
    base_model output_dir sequence_len micro_batch_size learning_rate optimizer bf16 datasets
    gradient_accumulation_steps lr_scheduler logging_steps num_epochs tf32 sample_packing warmup_ratio
    saves_per_epoch val_set_size attn_implementation gradient_checkpointing weight_decay wandb_name
    wandb_project wandb_entity wandb_watch wandb_log_model evals_per_epoch adapter lora_r lora_alpha
    dataset_prepared_path lora_dropout special_tokens resume_from_checkpoint load_in_4bit load_in_8bit
    lora_model_dir lora_target_modules plugins lora_target_linear model_type chat_template tokenizer_type
    gradient_checkpointing_kwargs fsdp_config eval_sample_packing pad_to_sequence_len strict trust_remote_code
    fp16 liger_rms_norm liger_glu_activation remove_unused_columns eot_tokens liger_layer_norm processor_type
    skip_prepare_dataset fsdp max_steps lora_mlp_kernel liger_rope fsdp_version lora_qkv_kernel lora_o_kernel
    warmup_steps save_steps rl liger_fused_linear_cross_entropy loss_watchdog_threshold loss_watchdog_patience
    use_kernels quantize_moe_experts seed torchdistx_path activation_offloading deepspeed gptq_groupsize
    gptq_model_v1 tokenizer_use_mistral_common ddp_find_unused_parameters push_dataset_to_hub
    max_packed_sequence_len lora_modules_to_save flash_attention adam_beta2 unfrozen_parameters use_scattermoe
    ebft qat lora_target_parameters experimental_skip_move_to_device liger_rms_norm_gated max_grad_norm
    train_on_inputs group_by_length save_total_limit dp_shard_size experts_implementation
    llama4_linearized_experts context_parallel_size gptq early_stopping_patience lora_fan_in_fan_out tokens trl
    torch_compile use_sonicmoe save_strategy trackio_project_name trackio_run_name trackio_space_id model_config
    batch_size pretraining_dataset eval_batch_size gemma4_hybrid_attn_impl fused_attn_kernel
    model_quantization_config model_quantization_config_kwargs flex_attn_compile_kwargs adam_epsilon
"""
"""The keys that Axolotl's users set most, in 252 recipes of its examples, the most frequent first."""
SAME_HERE = """
    sequence_len micro_batch_size learning_rate optimizer bf16 datasets lr_scheduler logging_steps num_epochs
    tf32 sample_packing warmup_ratio val_set_size attn_implementation gradient_checkpointing weight_decay
    adapter load_in_4bit load_in_8bit gradient_checkpointing_kwargs fp16 max_steps warmup_steps seed
    activation_offloading adam_beta2 unfrozen_parameters max_grad_norm group_by_length torch_compile batch_size
    adam_epsilon
"""
"""Those of them that `[train.NAME]` has under the same name."""


def test_every_key_that_is_much_used_elsewhere_is_here_or_leads_somewhere() -> None:
    most_used, same_here = MOST_USED.split(), SAME_HERE.split()
    assert [name for name in most_used if is_field(name)] == same_here
    foreign = [name for name in most_used if name not in same_here]
    with pytest.raises(ProblemError) as caught:
        parse(RECIPE + "".join(f"{name} = 1\n" for name in foreign), "recipe.toml", kinds.load())
    told = {one.detail: one.hint for one in caught.value.diagnostics}
    assert told == {f"train.t.{name}: there is no such field.": hints()[name] for name in foreign}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gradient_accumulation_steps", "Use `batch_size`."),
        ("lora_r", "Write it into the table `adapter`, as `r`."),
        ("wandb_entity", "Remove it: trackers take it from their own environment variables."),
        ("liger_rope", "Set `use_liger_kernel`; `liger_kernel_config.rope` says which."),
        ("chat_template", "Write it into the table of the model."),
        ("template", "Write it into the table of the model, as `chat_template`."),
        ("eta_min", "Use `lr_scheduler_kwargs.min_lr`."),
        ("cutoff_len", "Use `sequence_len`."),
        ("learning_rte", "Did you mean `learning_rate`?"),
    ],
)
def test_a_name_from_elsewhere_is_told_what_it_is_here(name: str, hint: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse(f"{RECIPE}{name} = 1\n", "recipe.toml", kinds.load())
    (found,) = caught.value.diagnostics
    assert (found.summary, found.hint, str(found.place)) == ("Unknown field", hint, "recipe.toml:10:1")


def is_field(path: str, specification: type = Sft) -> bool:
    name, _, rest = path.partition(".")
    field = fields(specification).get(name)
    if field is None:
        return False
    inner = table_class(field)
    return not rest or inner is None or is_field(rest, inner)


def test_what_is_named_instead_is_there() -> None:
    for name, hint in hints().items():
        assert not is_field(name), name
        named = re.findall(r"(?:Use|Set) `([^`]+)`", hint)
        for path in named:
            assert path.removeprefix("trainer.") in SFT if path.startswith("trainer.") else is_field(path), name
        for inner in re.findall(r"table `adapter`, as `([^`]+)`", hint):
            assert is_field(f"adapter.{inner}"), name
