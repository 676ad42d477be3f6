"""Settings of a training run that cannot be meant together: each is refused at its line, with what to do."""

from __future__ import annotations

import attrs
import pytest

from executor import kinds
from executor.training.optimizers import LEFT_OUT, OPTIMIZERS
from planner.recipe import parse
from state.diagnostic import ProblemError
from tests.executor.test_train_fields import NOTHING_AROUND

RECIPE = """\
[model.tiny]
source = "tiny"

[dataset.chats]
source = "chats.jsonl"
type = "chat_template"

[train.it]
method = "sft"
model = "model.tiny"
datasets = ["dataset.chats"]
learning_rate = 1e-3
"""
FIRST = len(RECIPE.splitlines()) + 1
"""The line below the recipe above."""
REENTRANT = "gradient_checkpointing_kwargs.use_reentrant = true"

FAULTS = {
    'load_in_4bit = false\nadapter = { type = "qlora" }': (
        'train.it.load_in_4bit: `adapter.type` = "qlora" means weights in four bits.\nRemove it, or use "lora".'
    ),
    'load_in_8bit = true\nadapter = { type = "qlora" }': (
        'train.it.load_in_8bit: `adapter.type` = "qlora" means weights in four bits.\nRemove it, or use "lora".'
    ),
    "load_in_8bit = true\nload_in_4bit = true\nadapter = {}": (
        "train.it.load_in_8bit: `load_in_4bit` is set too.\nRemove one of them."
    ),
    "load_in_8bit = true": (
        "train.it.load_in_8bit: weights of so few bits cannot be trained, only an adapter.\nAdd an `adapter` table."
    ),
    'bnb_4bit_quant_type = "fp4"\nadapter = {}': (
        "train.it.bnb_4bit_quant_type: it says how four bits are used, and the weights are not held in four.\n"
        'Set `adapter.type` = "qlora", or remove it.'
    ),
    "fp16 = true": "train.it.fp16: `bf16` is on too.\nSet `bf16 = false`.",
    'adapter.target_modules = ["q_proj", "lm_head"]': (
        "train.it.adapter.target_modules: the loss is computed from the weights of `lm_head` themselves, "
        "past any adapter on it.\n"
        'Remove it here, and use modules_to_save = ["lm_head"] to train it whole.'
    ),
    'adapter.modules_to_save = ["q_proj"]\nadapter.target_modules = ["q_proj"]': (
        "train.it.adapter.modules_to_save: `q_proj` is in `target_modules` too.\nRemove it from one of the two."
    ),
    "group_by_length = true\nsample_packing = true": (
        "train.it.group_by_length: packed rows are full, and no shorter ones are left to group.\nRemove it."
    ),
    "adapter.layers_to_transform = [1]": (
        'train.it.adapter.layers_to_transform: PEFT picks layers for modules that are named, not for "all-linear".\n'
        "Name the modules in `target_modules`."
    ),
    "adapter.rank_pattern = { q_proj = 2.5 }": (
        "train.it.adapter.rank_pattern.q_proj: a rank is a whole number.\nUse a whole number."
    ),
    'adapter.init_lora_weights = "orthogonal"\nadapter.r = 3': (
        'train.it.adapter.init_lora_weights: "orthogonal" needs an even rank, and `r` is 3.\nSet `r` to 4.'
    ),
    'adapter.init_lora_weights = "loftq"': (
        'train.it.adapter.init_lora_weights: "loftq" makes up for what four bits lose, and the base keeps all its '
        "bits.\n"
        'Use type = "qlora".'
    ),
    'adapter.init_lora_weights = "pissa"\nadapter.type = "qlora"': (
        'train.it.adapter.init_lora_weights: "pissa" takes the adapter out of the base, which would then be rounded '
        "again.\n"
        'For a quantised base, use "loftq".'
    ),
    'adapter.init_lora_weights = "olora"\nadapter.type = "dora"': (
        'train.it.adapter.init_lora_weights: "olora" does not go with `type = "dora"`.\nRemove one of them.'
    ),
    'unfrozen_parameters = ["lm_head"]\nadapter = {}': (
        "train.it.unfrozen_parameters: with an adapter, all weights of the base are frozen.\n"
        "Name modules in `adapter.modules_to_save`, or remove one of the two."
    ),
    "loraplus_lr_ratio = 16": (
        "train.it.loraplus_lr_ratio: LoRA+ is for adapters, and all weights are trained.\n"
        "Add an `adapter` table, or remove it."
    ),
    "loraplus_lr_embedding = 1e-5\nadapter = {}": (
        "train.it.loraplus_lr_embedding: it does nothing without `loraplus_lr_ratio`.\nSet that, or remove it."
    ),
    'attn_implementation = "flash_attention_2"\nbf16 = false': (
        'train.it.attn_implementation: "flash_attention_2" computes in bfloat16 or float16 only.\n'
        'Set `bf16 = true`, or use "sdpa".'
    ),
    "gradient_checkpointing_kwargs.use_reentrant = true": (
        "train.it.gradient_checkpointing_kwargs.use_reentrant: it does nothing without `gradient_checkpointing`.\n"
        "Set `gradient_checkpointing`, or remove it."
    ),
    'gradient_checkpointing_kwargs.use_reentrant = true\ngradient_checkpointing = true\nunfrozen_parameters = ["lm"]': (
        "train.it.gradient_checkpointing_kwargs.use_reentrant: the reentrant kind computes no gradients behind "
        "parameters that are frozen.\n"
        "Remove it."
    ),
    f'{REENTRANT}\ngradient_checkpointing = true\ndistributed.strategy = "fsdp"': (
        "train.it.gradient_checkpointing_kwargs.use_reentrant: FSDP goes with the other kind only.\nRemove it."
    ),
    'cross_entropy = "chunked"\nadapter.modules_to_save = ["lm_head"]\ndistributed.strategy = "fsdp"': (
        'train.it.cross_entropy: FSDP gathers the gradients of a trained head only from all logits.\nUse "auto".'
    ),
    'distributed.zero_stage = 3\ndistributed.strategy = "fsdp"': (
        'train.it.distributed.zero_stage: it means nothing to the strategy "fsdp".\nIt is for strategy = deepspeed.'
    ),
    "trainer.auto_find_batch_size = true": (
        "train.it.trainer.auto_find_batch_size: the recipe has a field of its own for this.\nUse `auto_micro_batch`."
    ),
    "trainer.ignore_data_skip = true": "train.it.trainer.ignore_data_skip: tune decides this itself.\nRemove it.",
    "trainer.bf16_full_eval = true": "train.it.trainer.bf16_full_eval: tune decides this itself.\nRemove it.",
    "trainer.dataset_num_proc = 4": "train.it.trainer.dataset_num_proc: it would do nothing here.\nRemove it.",
    "trainer.shuffle_dataset = true": "train.it.trainer.shuffle_dataset: it would do nothing here.\nRemove it.",
    'trainer.logging_strategy = "no"': (
        "train.it.trainer.logging_strategy: the recipe has a field of its own for this.\nUse `logging_steps`."
    ),
    "trainer.dataloader_persistent_workers = true": (
        "train.it.trainer.dataloader_persistent_workers: it does nothing without `dataloader_num_workers`.\n"
        "Set that, or remove it."
    ),
    "trainer.eval_on_start = true": (
        "train.it.trainer.eval_on_start: it does nothing without an `evaluation` table.\nSet that, or remove it."
    ),
    "trainer.accelerator_config = { split_batches = true }": (
        "train.it.trainer.accelerator_config.split_batches: tune decides this itself.\n"
        "There may be non_blocking and gradient_accumulation_kwargs.sync_each_batch."
    ),
    "trainer.accelerator_config = { gradient_accumulation_kwargs = { num_steps = 2 } }": (
        "train.it.trainer.accelerator_config.gradient_accumulation_kwargs.num_steps: tune decides this itself.\n"
        "There may be non_blocking and gradient_accumulation_kwargs.sync_each_batch."
    ),
    'trainer.accelerator_config = "accelerate.json"': (
        "train.it.trainer.accelerator_config: what is not in the recipe itself is no part of what a model is made "
        "from.\n"
        "Write it as a table."
    ),
    'label_smoothing_factor = 0.1\ntrainer.loss_type = "dft"': (
        'train.it.label_smoothing_factor: trainer.loss_type = "dft" smooths nothing.\nRemove one of them.'
    ),
    'trainer.ddp_timeout = "x"': 'train.it.trainer.ddp_timeout: expected a whole number; got "x".\n',
    "trainer.logging_first_step = 1": ("train.it.trainer.logging_first_step: expected true or false; got 1.\n"),
    "trainer.router_aux_loss_coef = true": ("train.it.trainer.router_aux_loss_coef: expected a number; got true.\n"),
    'trainer.log_level = "nonsense"': (
        'train.it.trainer.log_level: expected one of "detail", "debug", "info", "warning", "error", "critical", '
        '"passive"; got "nonsense".\n'
    ),
    "trainer.warmup_ratio = 0.1": (
        "train.it.trainer.warmup_ratio: the trainer has no such argument.\n"
        "Use `warmup_ratio`, which is a field of the recipe."
    ),
    "trainer.max_seq_length = 512": (
        "train.it.trainer.max_seq_length: the trainer has no such argument.\nUse `sequence_len`."
    ),
    "loss_weights = [1.0, 0.5]": ('train.it.loss_weights: there is no such field.\nIt is a field of method = "dpo".'),
    "liger_kernel_config = { ropes = true }\nuse_liger_kernel = true": (
        "train.it.liger_kernel_config.ropes: no such kernel, or neither true nor false.\n"
        "There are: cross_entropy, fused_linear_cross_entropy, geglu, layer_norm, rms_norm, rope, swiglu."
    ),
    "liger_kernel_config = { fused_linear_cross_entropy = true }\nuse_liger_kernel = true": (
        "train.it.liger_kernel_config.fused_linear_cross_entropy: TRL has a fused loss of its own, which this would "
        "take the place of.\n"
        "Remove it."
    ),
    "optim_args = { momentum = 0.9 }": (
        'train.it.optim_args.momentum: the optimizer "adamw_torch" has no such argument.\nIt takes none.'
    ),
    'adam_beta2 = 0.95\noptimizer = "sgd"': 'train.it.adam_beta2: the optimizer "sgd" does not use it.\nRemove it.',
    'optimizer = "galore_adamw"': (
        'train.it.optimizer: "galore_adamw" must know the modules that it is for.\n'
        'Set optim_target_modules = "all-linear".'
    ),
    'optimizer = "apollo_adamw"\noptim_target_modules = "all-linear"\nadapter = {}': (
        'train.it.optimizer: "apollo_adamw" is for training all weights.\nUse "adamw_torch", or remove `adapter`.'
    ),
    'optim_target_modules = "all-linear"': (
        'train.it.optim_target_modules: the optimizer "adamw_torch" does not use it.\nRemove it.'
    ),
    'lr_scheduler = "cosine"\noptimizer = "schedule_free_adamw"': (
        'train.it.lr_scheduler: "schedule_free_adamw" takes the place of a schedule.\nUse lr_scheduler = "constant".'
    ),
}
"""What follows the recipe above, its first line the one to blame -> the detail and the hint."""


@pytest.mark.parametrize("lines", FAULTS)
def test_what_cannot_be_meant_together_is_refused_at_its_line(lines: str) -> None:
    with pytest.raises(ProblemError) as error:
        parse(RECIPE + lines, "recipe.toml", kinds.load())
    found = error.value.diagnostics
    assert [f"{one.detail}\n{one.hint}" for one in found] == [FAULTS[lines]]
    assert (found[0].place.file, found[0].place.line) == ("recipe.toml", FIRST)


def test_answers_are_not_compared_by_a_head_that_each_process_trains_alone() -> None:
    recipe = RECIPE.replace('"sft"', '"dpo"').replace("chat_template", "preference")
    lines = 'adapter.modules_to_save = ["lm_head"]\ndistributed.strategy = "fsdp"'
    with pytest.raises(ProblemError) as error:
        parse(recipe + lines, "recipe.toml", kinds.load())
    (found,) = error.value.diagnostics
    alone = "with FSDP, each process would train the head on its own rows alone"
    assert found.detail == f"train.it.adapter.modules_to_save: {alone}."
    assert found.place.line == FIRST
    parse(recipe + lines.replace("fsdp", "ddp"), "recipe.toml", kinds.load())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("vllm_gpu_memory_utilization = 0.5", "it does nothing without `use_vllm`. Set that, or remove it."),
        ("sapo_temperature_pos = 2.0", 'it does nothing without `loss_type` = "sapo". Set that, or remove it.'),
        ("num_completions_to_print = 2", "it does nothing without `trainer.log_completions`. Set that, or remove it."),
        ("chat_template_kwargs = { thinking = true }", "it would do nothing here. Remove it."),
        ("generation_kwargs.temperature = 0.5", "the recipe has a field of its own for this. Use `temperature`."),
        ("generation_kwargs.top_k = 5", ""),
        ("shuffle_dataset = false", ""),
    ],
)
def test_what_a_trainer_that_lets_the_model_answer_would_not_heed_is_refused(line: str, told: str) -> None:
    recipe = RECIPE.replace('"sft"', '"grpo"').replace("chat_template", "prompt") + 'reward_functions = ["length"]\n'
    name, said = line.partition(" =")[0], f"{recipe}trainer.{line}"
    try:
        parse(said, "recipe.toml", kinds.load())
        found = []
    except ProblemError as error:
        found = [f"{one.detail} {one.hint}" for one in error.diagnostics]
    assert found == ([f"train.it.trainer.{name}: {told}"] if told else [])


def test_qlora_is_resolved_to_what_it_says_of_the_base() -> None:
    recipe = parse(RECIPE + 'adapter = { type = "qlora" }', "recipe.toml", kinds.load())
    resource = recipe.resources["train.it"]
    around = attrs.evolve(NOTHING_AROUND, resources=recipe.resources)
    settings = resource.kind.probe(resource, around).settings
    assert (settings["load_in_4bit"], settings["bnb_4bit_compute_dtype"]) == (True, "bfloat16")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('optimizer = "adamw_8bits"', 'there is no "adamw_8bits"'),
        ('unfrozen_parameters = ["lm_head("]', '"lm_head(" is no regular expression'),
        ('adapter.init_lora_weights = "pisa"', 'expected one of "default", "gaussian", "orthogonal"'),
        ("adapter.alpha_pattern = { q_proj = 0 }", "expected a number above 0, got 0"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(line: str, expected: str) -> None:
    with pytest.raises(ProblemError) as error:
        parse(RECIPE + line, "recipe.toml", kinds.load())
    assert expected in error.value.diagnostics[0].detail
    assert error.value.diagnostics[0].place.line == FIRST


@pytest.mark.parametrize("family", ["falcon_h1", "mamba2", "llama"])
def test_only_models_that_keep_documents_apart_are_trained_on_packed_rows(family: str) -> None:
    random = f'config = {{ model_type = "{family}" }}\ntokenizer = "tiny"'
    text = RECIPE.replace('source = "tiny"', random) + "sample_packing = true"
    resources = parse(text, "recipe.toml", kinds.load()).resources
    resource = resources["train.it"]
    around = attrs.evolve(NOTHING_AROUND, resources=resources)
    found = resource.kind.probe(resource, around).diagnostics
    leaks = "layers of model.tiny carry a state from one document of a packed row into the next"
    expected = [] if family == "llama" else [f"train.it.sample_packing: {leaks}."]
    assert [one.detail for one in found] == expected


@pytest.mark.torch
def test_the_optimizers_are_those_of_the_installed_transformers() -> None:
    from transformers.training_args import OptimizerNames

    assert {one.value for one in OptimizerNames} == OPTIMIZERS.keys() | LEFT_OUT


@pytest.mark.parametrize(
    ("lines", "path", "least"),
    [
        ("micro_batch_size = 1", "micro_batch_size", 2),
        ("batch_size = 1", "batch_size", 2),
        ("batch_size = 4\ndistributed.processes = 4", "batch_size", 8),
        ("batch_size = 4\ndistributed = { processes = 2, nodes = 2 }", "batch_size", 8),
        ('batch_size = 1\nloss_type = "apo_zero_unpaired"', "", 0),
        ("batch_size = 8\ndistributed.processes = 4", "", 0),
    ],
)
def test_kto_compares_answers_that_go_through_the_model_together(lines: str, path: str, least: int) -> None:
    recipe = RECIPE.replace('"sft"', '"kto"').replace("chat_template", "kto") + lines
    expected = f"train.it.{path}: the loss needs other answers in a micro-batch, and there is only one."
    try:
        parse(recipe, "recipe.toml", kinds.load())
        found = []
    except ProblemError as error:
        found = [(one.detail, one.hint) for one in error.diagnostics]
    assert found == ([(expected, f"Set it to {least} at least.")] if path else [])


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        ("micro_batch_size = 2", True),
        ("micro_batch_size = 4", False),
        ("micro_batch_size = 1\ndistributed.processes = 2", True),
        ("micro_batch_size = 2\ndistributed.processes = 2", False),
        ("distributed.processes = 4", False),
        ("micro_batch_size = 2\ntrainer.num_generations_eval = 2", False),
        ("micro_batch_size = 4\ntrainer.num_generations_eval = 3", True),
    ],
)
def test_completions_of_a_prompt_are_measured_together(lines: str, *, refused: bool) -> None:
    rewarded = 'reward_functions = ["length"]\nval_set_size = 0.5\nnum_generations = 4\nbatch_size = 8\n'
    recipe = RECIPE.replace('"sft"', '"grpo"').replace("chat_template", "prompt") + rewarded + lines
    try:
        parse(recipe, "recipe.toml", kinds.load())
        found = []
    except ProblemError as error:
        found = [one.detail for one in error.diagnostics]
    together = "to evaluate, all completions of a prompt go through the model at once, on all processes together"
    assert found == ([f"train.it.micro_batch_size: {together}."] if refused else [])


@pytest.mark.parametrize("method", ["grpo", "rloo"])
@pytest.mark.parametrize("field", ["load_best_model_at_end = true", "early_stopping_patience = 2"])
def test_no_model_is_the_best_by_a_loss_that_says_nothing(method: str, field: str) -> None:
    recipe = RECIPE.replace('"sft"', f'"{method}"').replace("chat_template", "prompt")
    recipe += f'val_set_size = 0.5\nreward_functions = ["length"]\nevaluation.{field}\n'
    with pytest.raises(ProblemError) as error:
        parse(recipe, "recipe.toml", kinds.load())
    (found,) = error.value.diagnostics
    at = "train.it.evaluation.metric_for_best_model"
    assert found.detail == f"{at}: the loss of {method} is about 0 however good the answers are."
    assert found.hint == 'Use "reward".'
    parse(f'{recipe}evaluation.metric_for_best_model = "reward"', "recipe.toml", kinds.load())
