"""An own DeepSpeed configuration: what of it the recipe decides, what its fields take over, and what stays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from attrs import evolve

from executor.training.distributed_fields import Device, Distributed
from planner.kind import Resource
from state.canonical import Plain
from state.diagnostic import Diagnostic, ProblemError, problem

OWNED = {
    "train_batch_size": "batch_size",
    "train_micro_batch_size_per_gpu": "micro_batch_size",
    "gradient_accumulation_steps": "batch_size",
    "gradient_clipping": "max_grad_norm",
    "bf16": "bf16",
    "fp16": "bf16",
    "amp": "bf16",
    "optimizer": "optimizer",
    "scheduler": "lr_scheduler",
}
"""Blocks of DeepSpeed's that the recipe has fields for: they may be there if all that they say is "auto"."""
STAGES = (1, 2, 3)
DEVICES = get_args(Device)
TAKEN_OVER = ("zero_stage", "offload_optimizer", "offload_parameters", "nvme_path")
"""Fields of the recipe's own that a configuration says."""
AUTO = "auto"


def probed(resource: Resource, table: Distributed, folder: Path) -> tuple[Distributed, tuple[Diagnostic, ...]]:
    """The resolved table, and what is wrong with the file or contradicts the recipe's own fields."""
    place = resource.place("distributed.config")
    try:
        found = resolved(table, folder)
    except ProblemError as error:
        return table, tuple(evolve(one, place=place) for one in error.diagnostics)
    twice = [
        name
        for name in TAKEN_OVER
        if f"distributed.{name}" in resource.places and getattr(found, name) != getattr(table, name)
    ]
    return found, tuple(
        Diagnostic(
            "Contradicting fields",
            f"{resource.address}.distributed.{name}: the DeepSpeed configuration says something else.",
            "Say it in one place.",
            resource.place(f"distributed.{name}"),
        )
        for name in twice
    )


def resolved(table: Distributed, folder: Path) -> Distributed:
    """The table with its file read, by content: stage and offloading are in their own fields then.

    Raises ProblemError for a file that cannot be read, or that contradicts itself.
    """
    if table.config == "":
        return table
    whole = _read(folder / table.config) if isinstance(table.config, str) else table.config
    config = without_auto(whole)
    zero = dict(_table(config.pop("zero_optimization", {})))
    found: dict[str, Any] = {}
    if "stage" in zero:
        found["zero_stage"] = zero.pop("stage")
    for block, name in (("offload_optimizer", "offload_optimizer"), ("offload_param", "offload_parameters")):
        if block in zero:
            rest = dict(_table(zero.pop(block)))
            if "device" in rest:
                found[name] = _device(rest.pop("device"), block)
            if "nvme_path" in rest:
                found["nvme_path"] = _same(rest.pop("nvme_path"), found.get("nvme_path"))
            zero |= {block: rest} if rest else {}
    return evolve(table, **found, config={**config, **({"zero_optimization": zero} if zero else {})})


def faults(table: Distributed) -> Iterator[tuple[str, str, str]]:
    """What a configuration says that is for the recipe to say, as path, detail and hint."""
    if isinstance(table.config, str):
        return
    for name, field in OWNED.items():
        if name in table.config:
            yield "distributed.config", f"its `{name}` is for the recipe to say", f"Use `{field}`, and remove it there."
    if table.zero_stage not in STAGES:
        yield "distributed.config", f"its ZeRO stage is {table.zero_stage}", "Stages are 1, 2 and 3."


def merged(config: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with ours over it, table by table."""
    both = {name: merged(config[name], ours[name]) for name in ours if isinstance(config.get(name), Mapping)}
    return {**config, **ours, **both}


def without_auto(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration really says: DeepSpeed itself knows no "auto"."""
    kept: dict[str, Any] = {}
    for name, value in config.items():
        inner = without_auto(value) if isinstance(value, Mapping) else value
        if value != AUTO and not (isinstance(value, Mapping) and value and not inner):
            kept[name] = inner
    return kept


def _device(device: object, block: str) -> str:
    if device not in DEVICES:
        detail = f"Its `{block}` goes to {device}, which DeepSpeed does not know."
        raise problem("Damaged configuration", detail, f"Devices are {', '.join(DEVICES)}.")
    return str(device)


def _same(path: object, other: object) -> object:
    if other not in (None, path):
        detail = f"What is offloaded goes to two places, `{other}` and `{path}`."
        raise problem("Damaged configuration", detail, "Set one `nvme_path` for both.")
    return path


def _read(path: Path) -> dict[str, Plain]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it is no JSON: {error}"
        raise problem("Damaged configuration", f"`{path}` cannot be read: {why}.") from None
    return dict(_table(found))


def _table(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        detail = f"A DeepSpeed configuration is made of tables, and `{value}` is none."
        raise problem("Damaged configuration", detail)
    return value
