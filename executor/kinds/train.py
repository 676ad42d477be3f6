"""`[train.NAME]`: a model, or an adapter to one, trained on tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from attrs import evolve

from executor import formats, methods
from executor.applying.probe import Surroundings
from executor.kinds.tokens import Tokens, tokens_for
from executor.models import adapter_fields
from executor.models.adapted_modules import name_faults
from executor.models.lineage import is_adapter, model_sources, root_model, scoring_run
from executor.models.model_configuration import root_configuration
from executor.plugins import Derived
from executor.tokens.vocabulary import named_tokens
from executor.training import (
    accelerate_file,
    deepspeed_file,
    distributed_fields,
    dropout,
    evaluation_fields,
    kernel_fields,
    known_elsewhere,
    optimizers,
    precision_fields,
    scheduler_arguments,
    stage_faults,
    trainer_table,
)
from executor.training.evaluation_probe import evaluation_diagnostics, function_content
from executor.training.method import Fault, Method
from executor.training.positions import position_faults, untrained_positions
from executor.training.recurrent import packing_faults
from executor.training.run_schedule import schedule_of
from executor.training.shared_vocabulary import teacher_faults
from executor.training.stage import Stage
from planner.effects import upstream_fields
from planner.kind import Kind, Probe, Resource, Resources, Source
from planner.resume import Layout
from planner.schedule import Schedule
from state.canonical import Plain
from state.diagnostic import Diagnostic
from state.record import Record

if TYPE_CHECKING:
    from executor.workers.task import Outcome, Task
    from executor.workers.worker_reports import Reporter

CODE = 1
METHODS = methods.load()
TOGETHER = (adapter_fields.faults, kernel_fields.faults, optimizers.faults, precision_fields.faults)
"""What is wrong with fields that are declared in the same module, or that change each other's meaning."""


def check(resource: Resource, resources: Resources) -> tuple[Diagnostic, ...]:
    """What is wrong with the fields together."""
    stage: Stage = resource.specification
    together = (one(stage, resource.places) for one in TOGETHER)
    faults = (
        *stage_faults.faults(stage, _method(stage), resource.places),
        *(fault for group in together for fault in group),
        *distributed_fields.faults(stage.distributed, stage.batch_size, stage.micro_batch_size, resource.places),
        *deepspeed_file.faults(stage.distributed),
        *_data_faults(stage, resources),
        *_chain_faults(stage, resources),
    )
    return (
        *_told("Contradicting fields", resource, faults),
        *_told("Invalid trainer argument", resource, trainer_table.faults(stage, _method(stage))),
    )


def _told(summary: str, resource: Resource, faults: Iterable[Fault]) -> Iterator[Diagnostic]:
    for path, detail, hint in faults:
        yield Diagnostic(summary, f"{resource.address}.{path}: {detail}.", hint, resource.place(path))


def _chain_faults(stage: Stage, resources: Resources) -> Iterator[Fault]:
    """What scores texts is an end: nothing starts from it."""
    beta = getattr(stage, "beta", 0)
    if _method(stage).layout == "prompts" and beta and stage.adapter is None and is_adapter(resources[stage.model]):
        detail = "with `beta`, the model is compared with the folder that it came from, and an adapter is none"
        yield "model", detail, "Merge it first, and name the merge; or train an adapter."
    yield from _untrained(stage, resources)
    if scoring := scoring_run(stage.model, resources):
        yield "model", f"{scoring} yields a model that scores texts, and cannot go on with them", "Name another model."


def _untrained(stage: Stage, resources: Resources) -> Iterator[Fault]:
    """Tokens that the model adds, next to an adapter that would leave them as they were drawn."""
    base, adapter = resources[stage.model], stage.adapter
    if base.kind.name != "model" or adapter is None:
        return
    added = named_tokens(base.specification.tokens, base.specification.special_tokens)
    left = [one for one in added if one not in adapter.trainable_tokens]
    if left and not {*adapter_fields.EMBEDDINGS}.intersection((*adapter.modules_to_save, *adapter.target_modules)):
        named = ", ".join(json.dumps(one, ensure_ascii=False) for one in (*adapter.trainable_tokens, *left))
        detail = f"{base.address} adds {', '.join(left)}, and the adapter leaves their rows as they were drawn"
        yield "adapter", detail, f"Set trainable_tokens = [{named}], or name the embedding in `modules_to_save`."


def _data_faults(stage: Stage, resources: Resources) -> Iterator[Fault]:
    """Types of rows that do not go with the method or with splitting; one that is not known yet is asked later."""
    method = _method(stage)
    if not stage.datasets:
        yield "datasets", "there are no rows to train on", "Name a dataset."
    for field, named_there in (("datasets", stage.datasets), ("test_datasets", stage.test_datasets)):
        twice = [one for one in dict.fromkeys(named_there) if named_there.count(one) > 1]
        if twice:
            yield (
                field,
                f"{twice[0]} stands there more than once",
                "Set `weight` of the dataset to have rows seen more often.",
            )
    named = [("datasets", one) for one in stage.datasets] + [("test_datasets", one) for one in stage.test_datasets]
    for field, address in named:
        kind = resources[address].specification.type
        if kind and not formats.yields(kind, method.learns_from):
            hint = f"It trains on {', '.join(formats.yielding(method.learns_from))}."
            yield field, f"{address} is of the type {kind}, which {method.name} cannot train on", hint
        elif kind and stage.excess_length_strategy == "split" and not formats.is_splittable(kind):
            detail = f'"split" is for {" and ".join(formats.splittable())}, and {address} is of the type {kind}'
            yield "excess_length_strategy", detail, 'Use "truncate" or "drop".'
    yield from evaluation_fields.answer_faults(stage, resources)


def _method(stage: Any) -> Method:  # noqa: ANN401  a Stage, each of which names its method
    return METHODS[stage.method]


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
    made = [tokens_for(resource, _tokens_of(resource), tokens)]
    if stage.test_datasets:
        apart = evolve(tokens, datasets=stage.test_datasets, sample_packing=False, val_set_size=0.0, split_seed=0)
        made.append(tokens_for(resource, _test_tokens_of(resource), apart))
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
    told, wrong = accelerate_file.probed(resource, surroundings.folder)
    distributed, diagnostics = deepspeed_file.probed(resource, told, surroundings.folder)
    micro = distributed_fields.known_micro_batch(stage.batch_size, stage.micro_batch_size, distributed)
    arguments = scheduler_arguments.resolved(stage.lr_scheduler, stage.lr_scheduler_kwargs)
    root = surroundings.resources[root_model(stage.model, surroundings.resources)]
    config = root_configuration(stage.model, surroundings.resources, surroundings.folder)
    leaks = packing_faults(stage, root.address, config)
    foreign = teacher_faults(stage, surroundings.resources, surroundings.folder)
    unnamed = name_faults(resource, surroundings)
    facts = dropout.found(resource, surroundings, config)
    split = stage_faults.split_faults(stage, root.address, facts)
    long = position_faults(root.address, config, stage.sequence_len, getattr(stage, dropout.ANSWERS, 0))
    return Probe(
        function_content(resource, surroundings),
        settings={
            "micro_batch_size": micro,
            "distributed": distributed_fields.resolved(distributed),
            "evaluation": evaluation_fields.resolved(stage.evaluation),
            scheduler_arguments.TABLE: arguments,
            **precision_fields.resolved(stage),
            "data_seed": None if stage.data_seed == stage.seed else stage.data_seed,
        },
        facts=facts,
        diagnostics=(
            *wrong,
            *diagnostics,
            *_told("Contradicting fields", resource, (*leaks, *foreign, *unnamed, *split, *long)),
            *evaluation_diagnostics(resource, surroundings),
            *untrained_positions(resource, root, config),
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


def processes(settings: Mapping[str, Plain]) -> int:
    """How many are asked for on each node; one where the machine decides."""
    table: Any = settings["distributed"]
    return 1 if table["processes"] == "auto" else int(table["processes"])


def lacks(address: str, settings: Mapping[str, Any]) -> tuple[Diagnostic, ...]:
    """Libraries that the run uses and that are not installed here, or in versions that are known not to work."""
    from executor.doctor.tested_versions import lacking_here, unfit_here
    from executor.training.needed_libraries import lacking

    return (*lacking_here(address), *unfit_here(), *lacking(address, settings))


def build(task: Task, reporter: Reporter) -> Outcome:
    """Train with the method that the settings name."""
    from executor.training.training import train

    method: Any = METHODS[str(task.settings["method"])]
    return train(method, task, reporter)


KIND = Kind(
    name="train",
    specifications=Derived(METHODS, lambda method: method.specification),
    code=CODE,
    verb="retrain",
    inputs=inputs,
    variant="method",
    gone={
        "ppo": "TRL has removed PPO: use grpo or rloo, which learn from rewards without a value model.",
        "gkd": "Use distillation, which learns from the model's own answers as GKD does with lmbda = 1. To learn from "
        "answers that a teacher wrote before, train on them with sft.",
    },
    elsewhere=known_elsewhere.hints,
    derive=derive,
    check=check,
    probe=probe,
    schedule=schedule,
    layout=layout,
    processes=processes,
    lacks=lacks,
    libraries=("torch", "datasets", "peft", "transformers.trainer", "trl.trainer.sft_trainer", "deepspeed"),
    build=build,
)
