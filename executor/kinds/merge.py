"""`[merge.NAME]`: an adapter folded into the weights that it was trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from attrs import frozen

from executor.kinds.model import delivered
from executor.lineage import is_adapter, model_sources, root_model
from executor.software import hardware, versions
from executor.task import Outcome, Task
from executor.worker_reports import Reporter
from planner.effects import Effect, reference, setting
from planner.kind import Kind, Resource, Resources, Source
from state.diagnostic import Diagnostic

CODE = 1


@frozen
class Merge:
    """The fields of a merge."""

    adapter: str = reference("train")
    dtype: Literal["float32", "bfloat16", "float16"] = setting(
        "bfloat16", effect=Effect.REBUILD, why="the weights are rounded differently"
    )
    description: str = setting("", effect=Effect.METADATA, why="it is a note")


def check(resource: Resource, resources: Resources) -> tuple[Diagnostic, ...]:
    """Only an adapter can be merged."""
    target = resources[resource.specification.adapter]
    if is_adapter(target):
        return ()
    detail = f"{resource.address}.adapter names {target.address}, which trains all weights: there is nothing to merge."
    hint = f"Use {target.address} directly, or give it an `[{target.address}.adapter]` table."
    return (Diagnostic("Wrong reference", detail, hint, resource.place("adapter")),)


def inputs(resource: Resource, resources: Resources) -> Mapping[str, tuple[Source, ...]]:
    """The weights, the adapters on top of them, and the tokenizer and template to deliver with them."""
    root = root_model(resource.specification.adapter, resources)
    return {
        "adapter": model_sources(resource.specification.adapter, resources),
        "tokenizer": (Source(root, "tokenizer"), Source(root, "chat_template")),
    }


def build(task: Task, reporter: Reporter) -> Outcome:
    """Fold the adapters in, one after the other, the last one into the dtype that is wanted."""
    from executor.lora_merge import merge
    from executor.model_files import copy_tokenizer, identity
    from executor.tensor_files import parameter_count

    whole, *adapters = task.inputs["adapter"]
    base = Path(whole.folder)
    with tempfile.TemporaryDirectory(dir=task.tune_folder, prefix="merge-") as scratch:
        for number, adapter in enumerate(adapters, start=1):
            last = number == len(adapters)
            output = task.output_folder if last else Path(scratch) / str(number)
            output.mkdir(exist_ok=True)
            reporter.progress(number - 1, len(adapters), "adapters")
            merge(base, Path(adapter.folder), output, str(task.settings["dtype"]) if last else None)
            base = output
    copy_tokenizer(*delivered(task.one("tokenizer"), Path(task.recipe_folder)), task.output_folder)
    return Outcome(
        output_digest=identity(task.output_folder),
        facts={"parameters": parameter_count(task.output_folder)},
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
