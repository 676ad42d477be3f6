"""What the steps of a plan will take: bytes on the disk, and memory of the host while a model is loaded."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import define

from executor.doctor.finding import Finding, Verdict
from executor.models.tensor_files import read_headers
from executor.workers.out_of_memory import host_limit
from planner.diff import WORKS
from planner.kind import Kinds
from planner.plan import Plan, Step
from state.diagnostic import ProblemError
from state.layout import Layout
from state.record import State
from state.values import frozen

AREA = "space"
GIB = 2.0**30
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
MOMENTS = {"sgd": 0, "adafactor": 0, "adamw_8bit": 2, "adamw_bnb_8bit": 2, "paged_adamw_8bit": 2, "lion_8bit": 1}
"""Bytes that an optimizer keeps for each trained parameter in a checkpoint; Adam's two moments in float32 are 8."""
ADAM = 8
MATRIX = 2
SPARE = 0.8
"""The share of what is free from which on a plan is said to be tight."""


@frozen
class Need:
    """What one step takes."""

    address: str
    disk: int
    """Bytes that will lie below `.tune/` at the same time."""
    memory: int
    """Bytes of the host while the model is loaded, and on a CPU while it is trained."""


@frozen
class Base:
    """The weights that a step starts from."""

    parameters: int
    shapes: Mapping[str, tuple[int, ...]]
    """Of its tensors by name; empty where they are not here yet."""


@define
class Estimate:
    """What the steps of a plan take, as far as their base models are known."""

    plan: Plan
    state: State
    kinds: Kinds
    layout: Layout
    has_gpu: bool

    def findings(self) -> Iterator[Finding]:
        """Disk and memory against what there is."""
        steps = [step for step in self.plan.steps if step.action in WORKS and step.kind in ("train", "merge")]
        needs, unknown = [], []
        for step in steps:
            need = self._need(step)
            (unknown.append(step.address) if need is None else needs.append(need))
        if unknown:
            text = f"{', '.join(unknown)}: the size is known once its model is here"
            yield Finding(AREA, "not estimated", text)
        if needs:
            yield _disk(sum(one.disk for one in needs), shutil.disk_usage(self.layout.recipe_folder).free)
            yield _memory(max(needs, key=lambda one: one.memory))

    def _need(self, step: Step) -> Need | None:
        base = self._base(step)
        if base is None:
            return None
        settings: Mapping[str, Any] = step.settings
        if step.kind == "merge":
            size = base.parameters * BYTES[settings["dtype"]]
            return Need(step.address, size, 0)  # it goes through memory one tensor at a time
        trained = self._trained(step, base)
        checkpoint = trained * (BYTES["float32"] + MOMENTS.get(settings["optimizer"], ADAM))
        kept = settings["checkpoints"]["save_total_limit"] + 1  # the one that is being written
        half = settings["adapter"] is not None and settings["bf16"]
        loaded = base.parameters * BYTES["bfloat16" if half else "float32"]
        working = 0 if self.has_gpu else trained * (BYTES["float32"] + ADAM)
        return Need(step.address, trained * BYTES["float32"] + kept * checkpoint, loaded + working)

    def _trained(self, step: Step, base: Base) -> int:
        """How many parameters a training changes."""
        adapter: Any = step.settings["adapter"]
        if adapter is None:
            return base.parameters
        record = self.state.records.get(step.address)
        if record is not None and "trainable_parameters" in record.facts and record.settings["adapter"] == adapter:
            return int(str(record.facts["trainable_parameters"]))
        return sum(
            adapter["r"] * sum(shape) for name, shape in base.shapes.items() if _is_adapted(name, shape, adapter)
        )

    def _base(self, step: Step) -> Base | None:
        """The weights that a step starts from; None if neither state nor disk tells their size."""
        source = next(iter(step.inputs["model" if step.kind == "train" else "adapter"])).source
        record = self.state.records.get(source.address)
        if record is None:
            return None
        locate = self.kinds[record.kind].locate
        try:
            here = self.layout.root / record.artifact
            folder = here if record.artifact or locate is None else locate(record, self.layout.recipe_folder)
            shapes = {name: entry.shape for name, (_, entry) in read_headers(folder).items()}
        except ProblemError:
            shapes = {}
        parameters = sum(map(math.prod, shapes.values())) or int(str(record.facts.get("parameters", 0)))
        return Base(parameters, shapes) if parameters else None


def _is_adapted(name: str, shape: tuple[int, ...], adapter: Mapping[str, Any]) -> bool:
    """Whether an adapter changes a tensor: a matrix of a numbered layer, if its module is among the targets."""
    parts = name.split(".")
    if len(shape) != MATRIX or not any(part.isdecimal() for part in parts):
        return False
    targets = adapter["target_modules"]
    return targets == "all-linear" or parts[-2] in targets


def _disk(need: int, free: int) -> Finding:
    text = f"{need / GIB:.2f} GiB for checkpoints and artifacts of this plan, {free / GIB:.2f} GiB free"
    hint = "Lower `checkpoints.save_total_limit`, or look at what `tune gc` would remove."
    return Finding(AREA, "disk", text, _verdict(need, free), "" if need < free * SPARE else hint)


def _memory(need: Need) -> Finding:
    total, what = host_limit()
    text = f"{need.memory / GIB:.2f} GiB to load the model of {need.address}, {total / GIB:.1f} GiB in {what}"
    hint = "Use a machine with more memory."
    return Finding(AREA, "memory", text, _verdict(need.memory, total), "" if need.memory < total * SPARE else hint)


def _verdict(need: int, there: int) -> Verdict:
    if need > there:
        return Verdict.PROBLEM
    return Verdict.WARNING if need > there * SPARE else Verdict.OK
