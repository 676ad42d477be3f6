"""What fields of `[train.NAME]` say against each other, whatever is trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from executor.models.dropout_rates import DROPOUT
from executor.tokens.row_layout import WANTED
from executor.training import scheduler_arguments
from executor.training.dropout import neutral_without_dropout
from executor.training.evaluation_fields import evaluation_faults
from executor.training.method import Fault, Method
from executor.training.stage import Stage
from planner.effects import Effect, declared, fields
from planner.structure import settings_of
from state.canonical import Plain

ANOTHER = "a smaller micro-batch would be another training"
WITHOUT = "Do without it, or set a `micro_batch_size` that fits."


def faults(stage: Stage, method: Method, places: Collection[str]) -> Iterator[Fault]:
    """What contradicts itself; `places` are the fields that are written in the recipe."""
    micro = stage.micro_batch_size
    if isinstance(micro, int) and stage.batch_size % micro:
        hint = "One optimizer step sees `batch_size` rows, in equal parts of `micro_batch_size`."
        yield "micro_batch_size", f"{micro} does not divide `batch_size` = {stage.batch_size}", hint
    if stage.auto_micro_batch and (decisive := _decided_by_micro_batches(stage, method)):
        yield "auto_micro_batch", f"with {decisive}, {ANOTHER}", WITHOUT
    if stage.warmup_ratio and stage.warmup_steps:
        yield "warmup_steps", "`warmup_ratio` is set too", "Remove one of them."
    if stage.lr_scheduler == "constant" and (stage.warmup_ratio or stage.warmup_steps):
        path = "warmup_ratio" if stage.warmup_ratio else "warmup_steps"
        yield path, 'the scheduler "constant" has no warm-up', 'Use lr_scheduler = "constant_with_warmup".'
    yield from scheduler_arguments.faults(stage.lr_scheduler, stage.lr_scheduler_kwargs, stage.learning_rate)
    yield from evaluation_faults(stage, method.layout, places)
    yield from _row_faults(stage, method)
    yield from method.faults(stage)


def split_faults(stage: Stage, root: str, facts: Mapping[str, Plain]) -> Iterator[Fault]:
    """Smaller micro-batches for a model that has dropout of its own, as far as that is known."""
    if stage.auto_micro_batch and facts.get(DROPOUT):
        yield "auto_micro_batch", f"{root} has dropout of its own, and {ANOTHER}", WITHOUT


def _decided_by_micro_batches(stage: Stage, method: Method) -> str:
    """What of a recipe makes another training of other micro-batches, if anything."""
    if declared(method.specification, "micro_batch_size").effect is Effect.REBUILD:
        return f'method = "{method.name}"'
    if neutral_without_dropout(settings_of(stage), {}) is Effect.REBUILD:
        return "NEFTune" if stage.neftune_noise_alpha else "dropout"
    return ""


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
