"""Every field of a training run: what an edit of it makes a plan do, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from executor import kinds, methods
from executor.applying.probe import Surroundings
from executor.methods.sft import Sft
from executor.models.adapter_fields import ALL_LINEAR, OTHER_PARAMETERS
from executor.training.evaluation_fields import MEASURED
from executor.training.run_schedule import SAME
from planner.desired import Desired, Given, action_key, effect_of
from planner.diff import Action, Change, change
from planner.effects import Effect, fields, referenced_kinds, table_class, upstream_fields
from planner.kind import Kind, Resource, Source
from planner.overrides import Overrides, with_settings
from planner.reason import FieldChanged, InputChanged
from planner.recipe import assemble
from planner.resume import STOPPED_EARLY
from planner.schedule import Schedule
from planner.situation import Local, Situation
from planner.structure import settings_of
from planner.variables import with_variables
from planner.written import read
from state.canonical import Plain
from state.files import FileDigests
from state.record import Checkpoint, InputRecord, Record, State, Status

KINDS = kinds.load()
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
max_steps = 10
val_set_size = 0.1
"""
CONSTANT = ("constant", "constant_with_warmup")
LORA = "adapter.lora_alpha = 8"
DROPOUT = "adapter.lora_dropout = 0.1"
FOUR_BITS = "adapter.type = qlora"
STOPPING = "evaluation.early_stopping_patience = 3"
DEEPSPEED = "distributed.strategy = deepspeed; distributed.processes = 2"
ON_DISK = (
    f"{DEEPSPEED}; distributed.zero_stage = 3; distributed.offload_optimizer = nvme; distributed.nvme_path = /disk"
)
FSDP = "distributed.strategy = fsdp; distributed.processes = 2"
GUARDS = (
    "loss_watchdog_threshold", "loss_watchdog_patience", "exploding_loss", "flat_loss_steps", "clipped_steps",
    "equal_rewards_steps", "cut_completions_steps",
)  # fmt: skip
ANSWERED = (("metrics", '["bleu"]'), ("answers", "8"), ("max_new_tokens", "8"), ("samples", "8"))
MIN_LR = "cosine_with_min_lr; lr_scheduler_kwargs.min_lr_rate = 0.1"
WARMUP = "cosine_warmup_with_min_lr; lr_scheduler_kwargs.min_lr_rate = 0.1"
WARMED = "lr_scheduler = constant_with_warmup"
STABLE = "warmup_stable_decay; lr_scheduler_kwargs.num_decay_steps = 2"
SHAPES = (
    ("num_cycles", "cosine", "1.5", Action.REBUILD),
    ("min_lr", "cosine_with_min_lr; lr_scheduler_kwargs.min_lr = 1e-5", "1e-6", Action.REBUILD),
    ("min_lr_rate", MIN_LR, "0.2", Action.REBUILD),
    ("warmup_lr_rate", WARMUP, "0.2", Action.REBUILD),
    ("power", "polynomial", "2", Action.REBUILD),
    ("lr_end", "polynomial", "1e-6", Action.REBUILD),
    ("timescale", "inverse_sqrt", "7", Action.REBUILD),
    ("num_decay_steps", STABLE, "3", Action.EXTEND),
    ("num_stable_steps", STABLE, "3", Action.EXTEND),
    ("warmup_type", STABLE, '"cosine"', Action.REBUILD),
    ("decay_type", STABLE, '"linear"', Action.REBUILD),
    ("min_lr_ratio", STABLE, "0.1", Action.REBUILD),
)
GALORE = "optimizer = galore_adamw; optim_target_modules = all-linear"
RETOKENIZE = "retokenize"
"""The run itself is reused if the tokens come out the same."""

ROWS: list[tuple[str, str, str, str]] = [
    # the field, what the recipe says beside it, the field's new value, what the plan does
    ("learning_rate", "", "2e-3", Action.REBUILD),
    ("num_epochs", "", "2", Action.EXTEND),
    ("max_steps", "", "20", Action.EXTEND),
    ("batch_size", "", "16", Action.REBUILD),
    ("micro_batch_size", "", "4", Action.UPDATE),
    ("micro_batch_size", DROPOUT, "4", Action.REBUILD),
    ("micro_batch_size", "neftune_noise_alpha = 5.0", "4", Action.REBUILD),
    ("micro_batch_size", "", "8", Action.REUSE),
    ("lr_scheduler", "", '"linear"', Action.REBUILD),
    ("warmup_ratio", "", "0.1", Action.REBUILD),
    ("warmup_steps", "", "3", Action.REBUILD),
    ("optimizer", "", '"paged_adamw_8bit"', Action.REBUILD),
    ("optim_args", "optimizer = sgd", "{ momentum = 0.9 }", Action.REBUILD),
    ("optim_target_modules", GALORE, '["q_proj"]', Action.REBUILD),
    ("loraplus_lr_ratio", LORA, "16", Action.REBUILD),
    ("loraplus_lr_embedding", LORA + "; loraplus_lr_ratio = 16", "1e-5", Action.REBUILD),
    ("adam_beta1", "", "0.8", Action.REBUILD),
    ("adam_beta2", "", "0.95", Action.REBUILD),
    ("adam_epsilon", "", "1e-6", Action.REBUILD),
    ("weight_decay", "", "0.01", Action.REBUILD),
    ("max_grad_norm", "", "0.3", Action.REBUILD),
    ("neftune_noise_alpha", "", "5", Action.REBUILD),
    ("seed", "", "43", Action.REBUILD),
    ("data_seed", "", "43", Action.REBUILD),
    ("sequence_len", "", "1024", RETOKENIZE),
    ("sample_packing", "", "true", RETOKENIZE),
    ("excess_length_strategy", "", '"drop"', RETOKENIZE),
    ("roles_to_train", "", '["assistant", "tool"]', RETOKENIZE),
    ("train_on_eos", "", '"all"', RETOKENIZE),
    ("val_set_size", "", "0.2", RETOKENIZE),
    ("bf16", "", "false", Action.REBUILD),
    ("fp16", "bf16 = false", "true", Action.REBUILD),
    ("tf32", "", "true", Action.UPDATE),
    ("load_in_8bit", LORA, "true", Action.REBUILD),
    ("load_in_4bit", LORA, "true", Action.REBUILD),
    ("bnb_4bit_quant_type", FOUR_BITS, '"fp4"', Action.REBUILD),
    ("bnb_4bit_use_double_quant", FOUR_BITS, "false", Action.REBUILD),
    ("bnb_4bit_compute_dtype", FOUR_BITS, '"float32"', Action.REBUILD),
    ("bnb_4bit_compute_dtype", FOUR_BITS, '"bfloat16"', Action.REUSE),
    ("attn_implementation", "", '"eager"', Action.UPDATE),
    ("gradient_checkpointing", "", "true", Action.UPDATE),
    ("gradient_checkpointing_kwargs.use_reentrant", "gradient_checkpointing = true", "true", Action.UPDATE),
    ("activation_offloading", "", "true", Action.UPDATE),
    ("torch_compile", "", "true", Action.UPDATE),
    ("torch_compile", DROPOUT, "true", Action.REBUILD),
    ("torch_compile_backend", "torch_compile = true", '"eager"', Action.UPDATE),
    ("torch_compile_mode", "torch_compile = true", '"max-autotune"', Action.UPDATE),
    ("cross_entropy", "", '"standard"', Action.UPDATE),
    ("use_liger_kernel", "", "true", Action.UPDATE),
    ("liger_kernel_config", "use_liger_kernel = true", "{ rope = false }", Action.UPDATE),
    ("dataloader_num_workers", "", "2", Action.UPDATE),
    ("dataloader_prefetch_factor", "dataloader_num_workers = 2", "4", Action.UPDATE),
    ("dataloader_pin_memory", "", "false", Action.UPDATE),
    ("logging_steps", "", "5", Action.UPDATE),
    ("description", "", '"it"', Action.UPDATE),
    ("tags", "", '["ours"]', Action.UPDATE),
    ("unfrozen_parameters", "", '["lm_head"]', Action.REBUILD),
    ("adapter", "", "{}", Action.REBUILD),
    ("adapter.type", LORA, '"dora"', Action.REBUILD),
    ("adapter.r", LORA, "16", Action.REBUILD),
    ("adapter.lora_alpha", "adapter.r = 4", "32", Action.REBUILD),
    ("adapter.lora_dropout", LORA, "0.1", Action.REBUILD),
    ("adapter.target_modules", LORA, '["q_proj"]', Action.REBUILD),
    ("adapter.exclude_modules", LORA, '["q_proj"]', Action.REBUILD),
    ("adapter.target_parameters", LORA, '["experts.down_proj"]', Action.REBUILD),
    ("adapter.modules_to_save", LORA, '["lm_head"]', Action.REBUILD),
    ("adapter.trainable_tokens", LORA, '["<|im_end|>"]', Action.REBUILD),
    ("adapter.layers_to_transform", 'adapter.target_modules = ["q_proj"]', "[0, 1]", Action.REBUILD),
    ("adapter.rank_pattern", LORA, "{ q_proj = 8 }", Action.REBUILD),
    ("adapter.alpha_pattern", LORA, "{ q_proj = 8 }", Action.REBUILD),
    ("adapter.use_rslora", LORA, "true", Action.REBUILD),
    ("adapter.lora_bias", LORA, "true", Action.REBUILD),
    ("adapter.init_lora_weights", LORA, '"pissa"', Action.REBUILD),
    ("checkpoints.save_steps", "", "50", Action.UPDATE),
    ("checkpoints.save_total_limit", "", "1", Action.UPDATE),
    ("evaluation", "", "{}", Action.UPDATE),
    ("evaluation", DROPOUT, "{}", Action.UPDATE),
    ("evaluation", "", "{ early_stopping_patience = 2 }", Action.REBUILD),
    ("evaluation.eval_steps", "", "7", Action.UPDATE),
    ("evaluation.eval_steps", STOPPING, "7", Action.REBUILD),
    *((f"evaluation.{name}", STOPPING, value, Action.REBUILD) for name, value in ANSWERED),
    ("evaluation.metrics", "", '["bleu"]', Action.UPDATE),
    ("evaluation.evals_per_epoch", STOPPING, "2", Action.REBUILD),
    ("evaluation.early_stopping_patience", "evaluation.eval_steps = 7", "2", Action.REBUILD),
    ("evaluation.early_stopping_threshold", STOPPING, "0.1", Action.REBUILD),
    ("evaluation.load_best_model_at_end", "evaluation.eval_steps = 7", "true", Action.REBUILD),
    ("evaluation.metric_for_best_model", STOPPING, '"perplexity"', Action.REBUILD),
    ("evaluation.greater_is_better", STOPPING, "true", Action.REBUILD),
    ("deterministic", "", "true", Action.UPDATE),
    ("on_length_change", "", '"continue"', Action.UPDATE),
    *(
        (f"lr_scheduler_kwargs.{name}", f"lr_scheduler = {scheduler}", value, effect)
        for name, scheduler, value, effect in SHAPES
    ),
    ("auto_micro_batch", "", "true", Action.UPDATE),
    *((f"guards.{name}", "", "7", Action.UPDATE) for name in GUARDS),
    ("logging.report_to", "", '["tensorboard"]', Action.UPDATE),
    ("logging.project", "", '"mine"', Action.UPDATE),
    ("logging.run_name", "", '"mine"', Action.UPDATE),
    ("distributed.strategy", "", '"ddp"', Action.UPDATE),
    ("distributed.strategy", DROPOUT, '"ddp"', Action.REBUILD),
    ("distributed.strategy", "", '"deepspeed"', Action.REBUILD),
    ("distributed.strategy", "bf16 = false", '"deepspeed"', Action.UPDATE),
    ("distributed.processes", "micro_batch_size = 4", "2", Action.UPDATE),
    ("distributed.processes", f"micro_batch_size = 4; {DROPOUT}", "2", Action.REBUILD),
    ("distributed.zero_stage", DEEPSPEED, "1", Action.UPDATE),
    ("distributed.offload_optimizer", DEEPSPEED, '"cpu"', Action.UPDATE),
    ("distributed.offload_parameters", FSDP, '"cpu"', Action.UPDATE),
    ("distributed.nvme_path", ON_DISK, '"/other"', Action.UPDATE),
    ("distributed.reshard_after_forward", FSDP, "false", Action.UPDATE),
    ("distributed.transformer_layer_cls_to_wrap", FSDP, '["LlamaDecoderLayer"]', Action.UPDATE),
    ("distributed.state_dict_type", FSDP, '"full"', Action.UPDATE),
    ("trainer", "", "{ pad_to_multiple_of = 8 }", Action.REBUILD),
    ("label_smoothing_factor", "", "0.1", Action.REBUILD),
    ("group_by_length", "", "true", Action.REBUILD),
]
INPUTS = {"model", "datasets", "test_datasets", "method", "distributed.nodes"} | {
    *("distributed.config", "distributed.accelerate_config"),
}
"""Inputs, which are compared by digest; the name of the specification itself; what has but
one value so far; what is a file."""
NOTHING_AROUND = Surroundings(Path("nowhere"), FileDigests(), State("nowhere", 0), {})
CHECKPOINT = Checkpoint(5, "checkpoint-5", "")
LOCAL = Local(artifact_missing=lambda _: False, usable=lambda *_: True)
NOTHING_FOUND: dict[str, Plain] = {}
LINEAR: tuple[Plain, ...] = ("down_proj", "q_proj", "up_proj")
TOKENS = Record("tokens", {}, {}, {}, 1, "key", Status.READY, "made", facts={"rows": 100})
"""Thirteen optimizer steps an epoch."""


def train(settings: list[str]) -> Resource:
    """The run with these settings on top of the recipe, as far as it can be resolved without files."""
    written = with_settings(read(RECIPE, "recipe.toml"), tuple(f"train.it.{one}" for one in settings if one))
    resources = assemble(with_variables(written, Overrides()), KINDS).resources
    resource = resources["train.it"]
    resolved = resource.kind.probe(resource, attrs.evolve(NOTHING_AROUND, resources=resources)).settings
    return attrs.evolve(resource, specification=attrs.evolve(resource.specification, **resolved))


def desired(resource: Resource) -> Desired:
    specification = resource.specification
    settings = settings_of(specification)
    return Desired(resource.address, resource.kind.name, settings, {}, {}, 1, type(specification))


def planned(before: Resource, after: Resource, status: Status, read: str = "rows") -> Change:
    """What a plan does about a run whose fields were edited, if every checkpoint could be continued from.

    `read` is the digest of the tokens and the model now; it was "rows".
    """
    old, made = desired(before), "made" if status is Status.READY else ""
    inputs = {name: (InputRecord(f"{name}.x", "", "rows"),) for name in ("model", "tokens")}
    key = action_key(old, dict.fromkeys(inputs, ("rows",)))
    record = Record(old.kind, old.settings, {}, inputs, 1, key, status, made, checkpoints=(CHECKPOINT,))
    constant = attrs.evolve(before.kind, schedule=lambda *_: Schedule("constant", 1.0, 0, 100))
    now = {name: (Given(Source(f"{name}.x"), read),) for name in inputs}
    return change(Situation(constant, desired(after), now, {}, {}, record, {}, LOCAL))


def action(before: Resource, after: Resource) -> str:
    """What a plan does about a finished run whose fields were edited."""
    return planned(before, after, Status.READY).action


def leaves(specification: type, prefix: str = "") -> Iterator[str]:
    """The dotted fields that can be written; a table that may be absent is one of them."""
    for field in fields(specification).values():
        inner = table_class(field)
        if inner is None or field.default is None:
            yield prefix + field.name
        if inner is not None:
            yield from leaves(inner, f"{prefix}{field.name}.")


@pytest.mark.parametrize(("path", "beside", "value", "expected"), ROWS)
def test_an_edit_does_what_its_field_says(path: str, beside: str, value: str, expected: str) -> None:
    before = beside.split("; ")
    after = [*before, f"{path} = {value}"]
    found = action(train(before), train(after))
    if expected == RETOKENIZE:
        name = path.partition(".")[0]
        assert found == Action.REUSE
        assert name in upstream_fields(Sft)
    else:
        assert found == expected
    # transformers would go on without a word from what had another learning rate, seed, batch or adapter.
    unfinished, wanted = planned(train(before), train(after), Status.INTERRUPTED), train(after)
    goes_on = expected != Action.REBUILD and wanted.kind.layout(settings_of(wanted.specification)).fits(CHECKPOINT)
    assert (unfinished.action, unfinished.resume_from) == (
        (Action.RESUME, CHECKPOINT) if goes_on else (Action.BUILD, None)
    )


def test_a_run_goes_on_with_the_very_model_and_rows_that_it_began_with() -> None:
    """Other weights of the same shape, as many other rows and more rows are all the same to transformers."""
    it = train([])
    assert planned(it, it, Status.INTERRUPTED).resume_from == CHECKPOINT
    other = planned(it, it, Status.INTERRUPTED, read="other rows")
    assert (other.action, other.resume_from) == (Action.BUILD, None)
    assert {one.field for one in other.reasons if isinstance(one, InputChanged)} == {"model", "tokens"}


@pytest.mark.parametrize("method", ["grpo", "rloo", "distillation"])
def test_answers_are_drawn_by_every_process_anew(method: str) -> None:
    specification = methods.load()[method].specification
    settings: dict[str, Plain] = {one.name: None for one in attrs.fields(specification)}
    for path in ("distributed.processes", "distributed.nodes", "distributed.strategy"):
        assert effect_of(specification, path, settings, {}) is Effect.REBUILD


@pytest.mark.parametrize(
    ("beside", "written_out"),
    [
        (STOPPING, "evaluation.greater_is_better = false"),
        (f'{STOPPING}; evaluation.metric_for_best_model = "perplexity"', "evaluation.greater_is_better = false"),
        (f'{STOPPING}; evaluation.metric_for_best_model = "entropy"', "evaluation.greater_is_better = true"),
        (f"distributed.processes = 1; {DROPOUT}", 'distributed.strategy = "single"'),
        (f"distributed.processes = 2; micro_batch_size = 4; {DROPOUT}", 'distributed.strategy = "ddp"'),
        (f"distributed.nodes = 2; micro_batch_size = 4; {DROPOUT}", 'distributed.strategy = "ddp"'),
        (f'distributed.strategy = "single"; {DROPOUT}', "distributed.processes = 1"),
        (FOUR_BITS, 'bnb_4bit_compute_dtype = "bfloat16"'),
        ("", "data_seed = 42"),
        ("seed = 7", "data_seed = 7"),
    ],
)
def test_what_auto_comes_to_may_be_written_out(beside: str, written_out: str) -> None:
    before = beside.split("; ")
    assert action(train(before), train([*before, written_out])) == Action.REUSE


def meant(before: str, after: str, status: Status = Status.READY, facts: Mapping[str, Plain] = NOTHING_FOUND) -> Change:
    """The change of a run, a finished one if nothing else is said, on tokens whose rows are known."""
    old, new = (train(one.split("; ")) for one in (before, after))
    made = desired(old)
    key, known = action_key(made, {}), {"tokens": (TOKENS,)}
    output = "made" if status is Status.READY else ""
    record = Record(made.kind, made.settings, {}, {}, 1, key, status, output, facts=facts)
    record = attrs.evolve(record, checkpoints=(CHECKPOINT,))
    return change(Situation(old.kind, desired(new), {}, known, {}, record, {}, LOCAL))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("warmup_ratio = 0.2", "warmup_steps = 2"),
        ("warmup_steps = 2", "warmup_ratio = 0.11"),
        ("max_steps = 13", "max_steps = 0; num_epochs = 1"),
        ("max_steps = 0; num_epochs = 2.5", "max_steps = 33"),
        ("num_epochs = 1", "num_epochs = 2"),
        ("max_steps = 13; warmup_ratio = 0.2", "max_steps = 0; warmup_steps = 3"),
        ("lr_scheduler = constant", "lr_scheduler = constant_with_warmup"),
        (f"lr_scheduler = {MIN_LR}", "lr_scheduler = cosine_with_min_lr; lr_scheduler_kwargs.min_lr = 1e-4"),
        (f"lr_scheduler = {STABLE}", f"lr_scheduler = {STABLE}; lr_scheduler_kwargs.num_stable_steps = 8"),
    ],
)
def test_learning_rates_that_stay_the_same_are_recorded(before: str, after: str) -> None:
    for one, other in ((before, after), (after, before)):
        found = meant(one, other)
        assert found.action is Action.UPDATE
        assert {getattr(reason, "effect", None) for reason in found.reasons} == {Effect.METADATA}
        assert {getattr(reason, "why", None) for reason in found.reasons} == {SAME}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("warmup_ratio = 0.2", "warmup_steps = 3", Action.REBUILD),
        ("warmup_ratio = 0.2", "warmup_steps = 2; seed = 7", Action.REBUILD),
        ("warmup_ratio = 0.2", "warmup_steps = 2; learning_rate = 2e-3", Action.REBUILD),
        ("max_steps = 13", "max_steps = 0; num_epochs = 1.1", Action.REBUILD),
        ("lr_scheduler = constant; max_steps = 13", "lr_scheduler = constant; max_steps = 15", Action.EXTEND),
        ("lr_scheduler = constant", "lr_scheduler = constant_with_warmup; warmup_steps = 2", Action.REBUILD),
        (f"{WARMED}; warmup_steps = 3; max_steps = 13", f"{WARMED}; warmup_steps = 3; max_steps = 26", Action.EXTEND),
        # A share of a longer run is a longer warm-up.
        (
            f"{WARMED}; warmup_ratio = 0.2; max_steps = 13",
            f"{WARMED}; warmup_ratio = 0.2; max_steps = 26",
            Action.REBUILD,
        ),
        ("lr_scheduler = inverse_sqrt; max_steps = 13", "lr_scheduler = inverse_sqrt; max_steps = 26", Action.EXTEND),
        (f"lr_scheduler = {STABLE}; max_steps = 13", f"lr_scheduler = {STABLE}; max_steps = 26", Action.EXTEND),
        # The checkpoint of step 5 is past the beginning of the shorter run's end.
        (f"lr_scheduler = {STABLE}; max_steps = 6", f"lr_scheduler = {STABLE}; max_steps = 26", Action.REBUILD),
        # Equal on paper, and not in what a computer makes of it.
        ("lr_scheduler = linear", "lr_scheduler = polynomial; lr_scheduler_kwargs.lr_end = 1e-12", Action.REBUILD),
        ("max_steps = 1000000000000; lr_scheduler = constant", "lr_scheduler = constant_with_warmup", Action.REBUILD),
    ],
)
def test_learning_rates_that_differ_force_what_they_forced(before: str, after: str, expected: Action) -> None:
    assert meant(before, after).action is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('["q_proj", "down_proj"]', '["down_proj", "q_proj"]', Action.UPDATE),
        ("all-linear", '["q_proj", "up_proj", "down_proj"]', Action.UPDATE),
        ('["q_proj", "up_proj", "down_proj"]', "all-linear", Action.UPDATE),
        ('["q_proj", "up_proj"]', "all-linear", Action.REBUILD),
        ("all-linear", '["q_proj", "up_proj", "down_proj", "lm_heads"]', Action.REBUILD),
    ],
)
def test_target_modules_are_what_they_stand_for(before: str, after: str, expected: Action) -> None:
    one, other = (f"adapter.target_modules = {written}" for written in (before, after))
    assert meant(one, other, facts={ALL_LINEAR: LINEAR}).action is expected
    known = "all-linear" not in (before, after)
    assert meant(one, other).action is (expected if known else Action.REBUILD)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("warmup_steps = 2", Action.RESUME),
        ("warmup_steps = 3", Action.BUILD),
        ("warmup_steps = 2; seed = 7", Action.BUILD),
    ],
)
def test_an_interrupted_run_goes_on_under_other_words(after: str, expected: Action) -> None:
    found = meant("warmup_ratio = 0.2", after, Status.INTERRUPTED)
    assert (found.action, found.resume_from) == (expected, CHECKPOINT if expected is Action.RESUME else None)


def test_a_run_that_ended_early_is_compared_up_to_its_end() -> None:
    before, after = (f"{STOPPING}; max_steps = 1000000000000; lr_scheduler = {one}" for one in CONSTANT)
    assert meant(before, after, facts={STOPPED_EARLY: 7}).action is Action.UPDATE
    assert meant(before, f"{after}; warmup_steps = 9", facts={STOPPED_EARLY: 7}).action is Action.REBUILD


@pytest.mark.parametrize(
    ("path", "table", "first", "effect", "why"),
    [
        ("adapter", "{ r = 4 }", ("type", "r", "lora_alpha"), Effect.REBUILD, OTHER_PARAMETERS),
        ("evaluation", "{}", ("eval_steps", "evals_per_epoch"), Effect.RUNTIME, MEASURED),
        (
            "evaluation",
            "{ early_stopping_patience = 2 }",
            ("eval_steps", "evals_per_epoch"),
            Effect.REBUILD,
            MEASURED,
        ),
    ],
)
def test_a_table_that_is_new_or_gone_is_one_change(
    path: str, table: str, first: tuple[str, ...], effect: Effect, why: str
) -> None:
    for one, other in (("", f"{path} = {table}"), (f"{path} = {table}", "")):
        (found,) = meant(one, other).reasons
        assert isinstance(found, FieldChanged)
        assert (found.field, found.effect, found.why) == (path, effect, why)
        whole = found.after if found.before is None else found.before
        assert isinstance(whole, Mapping)
        assert tuple(whole)[: len(first)] == first


def test_what_nobody_writes_of_tokens_stands_where_what_decides_it_does() -> None:
    written = read(f"{RECIPE}seed = 7\n", "recipe.toml")
    tokens = assemble(with_variables(written, Overrides()), KINDS).resources["tokens.it"]
    lines = {name: tokens.place(name).line for name in ("val_set_size", "split_seed", "layout", "prompts")}
    assert lines == {"val_set_size": 14, "split_seed": 15, "layout": 9, "prompts": 8}


def test_every_field_has_a_row() -> None:
    found = set(leaves(Sft)) - INPUTS
    assert sorted(found - {row[0] for row in ROWS}) == []
    assert sorted({row[0] for row in ROWS} - found) == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_no_field_of_any_kind_is_without_a_consequence(kind: Kind) -> None:
    for specification in kind.specifications.values():
        for field in fields(specification).values():
            assert referenced_kinds(field) or field.metadata["setting"].why
