"""`[merge.NAME]`: an adapter, or several, folded into the weights that it was trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from executor.kinds.model import delivered
from executor.merging.combination import CHANCE, ELECTING, PRUNING, Combination, CombinationType
from executor.models.lineage import foundations, is_adapter, merged_adapters, model_sources, root_model, scoring_run
from executor.workers.software import hardware, versions
from planner.effects import Effect, reference, setting
from planner.kind import Kind, Resource, Resources, Source
from planner.limits import not_empty, tags
from state.diagnostic import Diagnostic
from state.values import frozen

if TYPE_CHECKING:
    from executor.workers.task import Outcome, Task
    from executor.workers.worker_reports import Reporter

CODE = 1
_OTHER_SUM = "the adapters are combined differently"


@frozen
class Merge:
    """The fields of a merge."""

    adapter: str | tuple[str, ...] = reference("train")
    """An adapter, or a list of several that were trained on the same model."""
    weights: tuple[float, ...] = setting((), effect=Effect.REBUILD, why=_OTHER_SUM)
    """For several adapters: the weight of each."""
    combination_type: CombinationType = setting("linear", effect=Effect.REBUILD, why=_OTHER_SUM)
    """For several adapters: how PEFT's `add_weighted_adapter` combines them; "cat" is the exact weighted sum."""
    density: float = setting(1.0, effect=Effect.REBUILD, why=_OTHER_SUM)
    """For "ties", "dare_linear", "dare_ties" and "magnitude_prune": the share of numbers that is kept."""
    majority_sign_method: Literal["total", "frequency"] = setting("total", effect=Effect.REBUILD, why=_OTHER_SUM)
    """For "ties" and "dare_ties": whether size decides the sign, or how many adapters have it."""
    seed: int = setting(42, effect=Effect.REBUILD, why="other numbers are kept")
    """For "dare_linear" and "dare_ties": what is drawn follows it."""
    dtype: Literal["float32", "bfloat16", "float16"] = setting(
        "bfloat16", effect=Effect.REBUILD, why="the weights are rounded differently"
    )
    quantized_base: Literal["original", "dequantized"] = setting(
        "original", effect=Effect.REBUILD, why="the adapter is folded into other weights"
    )
    """For an adapter to weights in four or eight bits: fold it into these as they are, or as training saw them."""
    max_shard_size: str = setting(
        "auto", effect=Effect.RUNTIME, why="the same tensors, in other files", validator=not_empty
    )
    """The largest weight file, such as "5GB"; "auto": the base's files."""
    check_logits: bool = setting(default=True, effect=Effect.RUNTIME, why="the weights are the same")
    """Compare what the merged model computes with what base and adapter do, where memory suffices for the model."""
    description: str = setting("", effect=Effect.METADATA, why="it is a note")
    tags: tuple[str, ...] = setting((), effect=Effect.METADATA, why="they are notes", validator=tags)
    """What to find it by, with `tune state list --tag`; a model's card and a bill of materials have them, too."""


def check(resource: Resource, resources: Resources) -> tuple[Diagnostic, ...]:
    """Only adapters can be merged, and several only if they were trained on the same model."""
    wrong = tuple(_not_adapters(resource, resources))
    return wrong or tuple(
        Diagnostic("Contradicting fields", f"{resource.address}.{path}: {detail}.", hint, resource.place(path))
        for path, detail, hint in _faults(resource, resources)
    )


def _not_adapters(resource: Resource, resources: Resources) -> Iterator[Diagnostic]:
    place = resource.place("adapter")
    for target in (resources[one] for one in merged_adapters(resource)):
        if scoring := scoring_run(target.address, resources):
            detail = f"{resource.address}.adapter names {scoring}, which yields a model that scores texts."
            yield Diagnostic("Wrong reference", detail, "Use it as it is, or train all weights for one folder.", place)
        if not is_adapter(target):
            detail = f"{resource.address}.adapter names {target.address}, which trains all weights: nothing to merge."
            hint = f"Use {target.address} directly, or give it an `[{target.address}.adapter]` table."
            yield Diagnostic("Wrong reference", detail, hint, place)


def _faults(resource: Resource, resources: Resources) -> Iterator[tuple[str, str, str]]:
    merge: Merge = resource.specification
    addresses = merged_adapters(resource)
    below = {foundations(one, resources)[:-1] for one in addresses}
    if not addresses:
        yield "adapter", "there is nothing to merge", "Name an adapter."
    elif len(below) > 1:
        bases = " and ".join(sorted(one[-1] for one in below))
        yield (
            "adapter",
            f"these adapters have different bases, {bases}",
            "Adapters are combined on one and the same base.",
        )
    if max(len(addresses), len(merge.weights)) > 1 and len(addresses) != len(merge.weights):
        detail = f"there are {len(addresses)} adapters and {len(merge.weights)} weights"
        yield "weights", detail, "Give one for each adapter, for instance [0.5, 0.5]."
    yield from _unused(merge, several=len(addresses) > 1)
    few_bits = [one for one in addresses if _in_few_bits(resources[one].specification)]
    if merge.quantized_base == "dequantized" and len(few_bits) < len(addresses):
        whole = next(one for one in addresses if one not in few_bits)
        yield "quantized_base", f"{whole} was trained beside weights with all their bits", "Remove it."
    elif merge.quantized_base == "dequantized" and len(addresses) > 1:
        yield "quantized_base", "adapters may have seen their base rounded differently", "Merge them one by one."
    if not 0 < merge.density <= 1:
        yield "density", f"expected a share above 0 and up to 1, got {merge.density:g}", ""
    from executor.models.shards import AS_IT_IS, SIZE

    if merge.max_shard_size != AS_IT_IS and not SIZE.fullmatch(merge.max_shard_size):
        yield "max_shard_size", f"expected a size, got {merge.max_shard_size!r}", 'For instance "5GB" or "500MB".'


def _in_few_bits(stage: Any) -> bool:  # noqa: ANN401  any method's specification
    names = ("load_in_4bit", "load_in_8bit")
    return stage.adapter.type == "qlora" or any(getattr(stage, name, False) for name in names)


def _unused(merge: Merge, *, several: bool) -> Iterator[tuple[str, str, str]]:
    """Fields that would do nothing as the others are."""
    alone = "there is only one adapter, which is merged as it is"
    if not several and merge.weights:
        yield "weights", alone, "Remove it, or set the adapter's `lora_alpha`."
    if not several and merge.combination_type != "linear":
        yield "combination_type", alone, "Remove it."
    kind = merge.combination_type
    needs = {"density": (1.0, PRUNING), "majority_sign_method": ("total", ELECTING), "seed": (42, CHANCE)}
    for name, (default, kinds) in needs.items():
        if getattr(merge, name) != default and not (several and kind in kinds):
            yield name, f"it has no meaning for {kind}", f"It is for {', '.join(kinds)}, of several adapters."
    if several and kind in PRUNING and merge.density == 1.0:
        yield "density", f"{kind} needs one below 1", "For instance 0.5: half of the numbers are kept."


def inputs(resource: Resource, resources: Resources) -> Mapping[str, tuple[Source, ...]]:
    """The weights, the adapters on top of them, and the tokenizer and template to deliver with them."""
    first, *others = merged_adapters(resource)
    root = root_model(first, resources)
    return {
        "adapter": model_sources(first, resources),
        "others": tuple(Source(one) for one in others),
        "tokenizer": (Source(root, "tokenizer"), Source(root, "chat_template")),
    }


def build(task: Task, reporter: Reporter) -> Outcome:
    """Fold the adapters in, prove what came out, and deliver the tokenizer with it."""
    from executor.merging.merging import fold
    from executor.models.model_files import copy_tokenizer, identity
    from executor.models.tensor_files import parameter_count
    from executor.workers.task import Outcome

    weights = cast("tuple[float, ...]", tuple(task.settings["weights"]))  # type: ignore[arg-type]
    combination = Combination(
        weights=weights,
        combination_type=str(task.settings["combination_type"]),
        density=cast("float", task.settings["density"]),
        majority_sign_method=str(task.settings["majority_sign_method"]),
        seed=cast("int", task.settings["seed"]),
    )
    with tempfile.TemporaryDirectory(dir=task.tune_folder, prefix="merge-") as scratch:
        facts = fold(task, combination, Path(scratch), reporter)
    copy_tokenizer(*delivered(task.one("tokenizer"), Path(task.recipe_folder)), task.output_folder)
    return Outcome(
        output_digest=identity(task.output_folder),
        facts={"parameters": parameter_count(task.output_folder), **facts},
        versions=versions("torch"),
        hardware=hardware(),
    )


KIND = Kind(
    name="merge",
    specifications={"": Merge},
    code=CODE,
    verb="re-merge",
    inputs=inputs,
    check=check,
    build=build,
)
