"""`[train.NAME]`: a model, or an adapter to one, trained on tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, cast

from attrs import evolve

from executor import formats, methods
from executor.applying.probe import Surroundings
from executor.kinds.tokens import KIND as TOKENS
from executor.kinds.tokens import Tokens
from executor.models import adapter_fields
from executor.models.lineage import is_adapter, model_sources, root_model, scoring_run
from executor.tokens.row_layout import WANTED
from executor.training import (
    deepspeed_file,
    distributed_fields,
    kernel_fields,
    optimizers,
    precision_fields,
    scheduler_arguments,
)
from executor.training.dropout import neutral_without_dropout
from executor.training.evaluation_fields import answer_faults, evaluation_faults
from executor.training.evaluation_probe import evaluation_diagnostics, function_content
from executor.training.method import Fault, Method
from executor.training.optimization_fields import schedule_of
from executor.training.recurrent import packing_faults
from executor.training.stage import Stage
from executor.workers.task import Outcome, Task
from executor.workers.worker_reports import Reporter
from planner.effects import Effect, declared, fields, upstream_fields
from planner.kind import Kind, Probe, Resource, Resources, Source
from planner.resume import Layout
from planner.schedule import Schedule
from planner.structure import settings_of, suggestion
from state.canonical import Plain
from state.diagnostic import Diagnostic
from state.record import Record

CODE = 1
METHODS = methods.load()
OWNED = {
    "train_sampling_strategy": "group_by_length",
    "gradient_checkpointing_kwargs": "gradient_checkpointing_kwargs",
    "per_device_train_batch_size": "micro_batch_size",
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
        "push_to_hub",
        "hub_token",
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
TOGETHER = (adapter_fields.faults, kernel_fields.faults, optimizers.faults, precision_fields.faults)
"""What is wrong with fields that are declared in the same module, or that change each other's meaning."""


def check(resource: Resource, resources: Resources) -> tuple[Diagnostic, ...]:
    """What is wrong with the fields together."""
    stage: Stage = resource.specification
    together = (one(stage, resource.places) for one in TOGETHER)
    faults = (
        *_faults(stage, resource.places),
        *(fault for group in together for fault in group),
        *distributed_fields.faults(stage.distributed, stage.batch_size, stage.micro_batch_size, resource.places),
        *deepspeed_file.faults(stage.distributed),
        *_data_faults(stage, resources),
        *_chain_faults(stage, resources),
    )
    return (
        *_told("Contradicting fields", resource, faults),
        *_told("Invalid trainer argument", resource, _trainer_faults(stage)),
    )


def _told(summary: str, resource: Resource, faults: Iterable[Fault]) -> Iterator[Diagnostic]:
    for path, detail, hint in faults:
        yield Diagnostic(summary, f"{resource.address}.{path}: {detail}.", hint, resource.place(path))


def _faults(stage: Stage, places: Collection[str]) -> Iterator[Fault]:
    micro = stage.micro_batch_size
    if isinstance(micro, int) and stage.batch_size % micro:
        hint = "One optimizer step sees `batch_size` rows, in equal parts of `micro_batch_size`."
        yield "micro_batch_size", f"{micro} does not divide `batch_size` = {stage.batch_size}", hint
    if stage.auto_micro_batch and (decisive := _decided_by_micro_batches(stage)):
        hint = "Do without it, or set a `micro_batch_size` that fits."
        yield "auto_micro_batch", f"with {decisive}, a smaller micro-batch would be another training", hint
    if stage.warmup_ratio and stage.warmup_steps:
        yield "warmup_steps", "`warmup_ratio` is set too", "Remove one of them."
    if stage.lr_scheduler == "constant" and (stage.warmup_ratio or stage.warmup_steps):
        path = "warmup_ratio" if stage.warmup_ratio else "warmup_steps"
        yield path, 'the scheduler "constant" has no warm-up', 'Use lr_scheduler = "constant_with_warmup".'
    yield from scheduler_arguments.faults(stage.lr_scheduler, stage.lr_scheduler_kwargs, stage.learning_rate)
    method = _method(stage)
    yield from evaluation_faults(stage, method.layout, places)
    yield from _row_faults(stage, method)
    yield from method.faults(stage)


def _decided_by_micro_batches(stage: Stage) -> str:
    """What of a recipe makes another training of other micro-batches, if anything."""
    if declared(_method(stage).specification, "micro_batch_size").effect is Effect.REBUILD:
        return f'method = "{_method(stage).name}"'
    if neutral_without_dropout(settings_of(stage)) is Effect.REBUILD:
        return "NEFTune" if stage.neftune_noise_alpha else "dropout"
    return ""


def _chain_faults(stage: Stage, resources: Resources) -> Iterator[Fault]:
    """What scores texts is an end: nothing starts from it."""
    beta = getattr(stage, "beta", 0)
    if _method(stage).layout == "prompts" and beta and stage.adapter is None and is_adapter(resources[stage.model]):
        detail = "with `beta`, the model is compared with the folder that it came from, and an adapter is none"
        yield "model", detail, "Merge it first, and name the merge; or train an adapter."
    if scoring := scoring_run(stage.model, resources):
        yield "model", f"{scoring} yields a model that scores texts, and cannot go on with them", "Name another model."


def _data_faults(stage: Stage, resources: Resources) -> Iterator[Fault]:
    """Types of rows that do not go with the method or with splitting; one that is not known yet is asked later."""
    method, splittable = _method(stage), formats.splittable()
    fitting = formats.yielding(method.learns_from)
    named = [("datasets", one) for one in stage.datasets] + [("test_datasets", one) for one in stage.test_datasets]
    for field, address in named:
        kind = resources[address].specification.type
        if kind and kind not in fitting:
            hint = f"It trains on {', '.join(fitting)}."
            yield field, f"{address} is of the type {kind}, which {method.name} cannot train on", hint
        elif kind and stage.excess_length_strategy == "split" and kind not in splittable:
            detail = f'"split" is for {" and ".join(splittable)}, and {address} is of the type {kind}'
            yield "excess_length_strategy", detail, 'Use "truncate" or "drop".'
    yield from answer_faults(stage, resources)


def _method(stage: Stage) -> Method:
    return next(one for one in METHODS.values() if one.specification is type(stage))


def _row_faults(stage: Stage, method: Method) -> Iterator[Fault]:
    """Fields for documents that mean nothing for rows of another layout."""
    if method.layout == "documents":
        return
    learns = f"{method.name} learns from {WANTED[method.layout]} a row"
    if stage.sample_packing:
        yield "sample_packing", f"{learns}, and several rows cannot share one", "Remove it."
    for name in ("roles_to_train", "train_on_eos"):
        if getattr(stage, name) != fields(Stage)[name].default:
            yield name, f"{learns}, whose answers are trained whole", "Remove it."
    if method.layout == "prompts" and stage.excess_length_strategy == "truncate":
        yield "excess_length_strategy", "a prompt that is cut off asks something else", 'Use "drop".'


def _trainer_faults(stage: Stage) -> Iterator[Fault]:
    method = _method(stage)
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
            hint = suggestion(name, sorted(accepted)) or "Names are those of TRL's configuration class of the method."
            yield path, "the trainer has no such argument", hint


def derive(resource: Resource, resources: Resources) -> tuple[Resource, ...]:
    """The tokens that this run trains on."""
    stage: Stage = resource.specification
    tokens = Tokens(
        datasets=stage.datasets,
        model=root_model(stage.model, resources),
        sequence_len=stage.sequence_len,
        excess_length_strategy=stage.excess_length_strategy,
        roles_to_train=stage.roles_to_train,
        train_on_eos=stage.train_on_eos,
        sample_packing=stage.sample_packing,
        layout=_method(stage).layout,
        val_set_size=stage.val_set_size,
        split_seed=stage.seed if stage.val_set_size else 0,
    )
    made = [Resource(_tokens_of(resource), TOKENS, tokens, resource.places, resource.address)]
    if stage.test_datasets:
        apart = evolve(tokens, datasets=stage.test_datasets, sample_packing=False, val_set_size=0.0, split_seed=0)
        made.append(Resource(_test_tokens_of(resource), TOKENS, apart, resource.places, resource.address))
    return tuple(made)


def _test_tokens_of(resource: Resource) -> str:
    """The address of the tokens that this run is evaluated on."""
    return f"{_tokens_of(resource)}.test"


def _tokens_of(resource: Resource) -> str:
    """The address of the tokens of this run, which members of a matrix share where they differ in other fields only."""
    seed = ("seed",) if resource.specification.val_set_size else ()
    return f"tokens.{resource.name_by(('method', *upstream_fields(resource.specification.__class__), *seed))}"


def inputs(resource: Resource, resources: Resources) -> Mapping[str, tuple[Source, ...]]:
    """What is trained, and on what."""
    tests = {"test_datasets": (Source(_test_tokens_of(resource)),)} if resource.specification.test_datasets else {}
    return {
        "model": model_sources(resource.specification.model, resources),
        "tokens": (Source(_tokens_of(resource)),),
        **_teacher(resource, resources),
        **tests,
    }


def _teacher(resource: Resource, resources: Resources) -> dict[str, tuple[Source, ...]]:
    teacher = getattr(resource.specification, "teacher", ())
    return {"teacher": model_sources(teacher, resources)} if isinstance(teacher, str) else {}


def probe(resource: Resource, surroundings: Surroundings) -> Probe:
    """Resolve what the recipe leaves open, and read what it names besides: functions, and rows to evaluate on."""
    stage: Stage = resource.specification
    share = stage.batch_size // distributed_fields.known_processes(stage.distributed)
    micro = share if stage.micro_batch_size == "auto" else stage.micro_batch_size
    distributed, diagnostics = deepspeed_file.probed(resource, stage.distributed, surroundings.folder)
    arguments = scheduler_arguments.resolved(stage.lr_scheduler, stage.lr_scheduler_kwargs)
    leaks = packing_faults(stage, surroundings.resources, surroundings.folder)
    return Probe(
        function_content(resource, surroundings),
        settings={
            "micro_batch_size": micro,
            "distributed": distributed,
            scheduler_arguments.TABLE: arguments,
            **precision_fields.resolved(stage),
        },
        diagnostics=(
            *diagnostics,
            *_told("Contradicting fields", resource, leaks),
            *evaluation_diagnostics(resource, surroundings),
        ),
    )


def schedule(settings: Mapping[str, Plain], records: Mapping[str, tuple[Record, ...]]) -> Schedule:
    """The learning rates of the run, given the record of its tokens."""
    return schedule_of(settings, cast("int", records["tokens"][0].facts["rows"]))


def layout(settings: Mapping[str, Plain]) -> Layout:
    """How checkpoints are written; DeepSpeed's can be read by as many processes only."""
    table: Any = settings.get("distributed")
    form = distributed_fields.checkpoint_format(settings)
    bound = distributed_fields.is_bound(form) and table["processes"] != "auto"
    return Layout(form, table["processes"] * table["nodes"] if bound else None)


def build(task: Task, reporter: Reporter) -> Outcome:
    """Train with the method that the settings name."""
    from executor.training.training import train

    method: Any = METHODS[str(task.settings["method"])]
    return train(method, task, reporter)


KIND = Kind(
    name="train",
    specifications={method.name: method.specification for method in METHODS.values()},
    code=CODE,
    verb="retrain",
    inputs=inputs,
    variant="method",
    gone={"ppo": "TRL has removed PPO: use grpo or rloo, which learn from rewards without a value model."},
    derive=derive,
    check=check,
    probe=probe,
    schedule=schedule,
    layout=layout,
    build=build,
)
