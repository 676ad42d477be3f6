"""Libraries and devices against what was tested, and combinations that are known to go wrong, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from executor.doctor.finding import Finding, Verdict
from executor.doctor.machine import Machine
from executor.doctor.tested_versions import NEEDED, TESTED, unfit
from executor.training.needed_libraries import needed
from planner.diff import WORKS

LIBRARIES, DEVICES, COMBINATIONS = "libraries", "devices", "combinations"
INSTALL = "pip install 'tuneform[train]' installs it; constraints.txt names the tested set."
GIB = 2.0**30
BF16_SINCE = (8, 0)
"""The compute capability from which on GPUs compute in bfloat16 (Ampere)."""
Settings = Mapping[str, Any]


def libraries(machine: Machine) -> Iterator[Finding]:
    """Each library against the tested version."""
    if not machine.trains:
        text = "not installed: this machine plans, and trains nothing"
        yield Finding(LIBRARIES, "training", text, hint="`pip install 'tuneform[train]'` where `tune apply` is to run.")
        return
    for name, tested in TESTED.items():
        found = machine.versions.get(name)
        if found is None:
            if name in NEEDED:
                yield Finding(LIBRARIES, name, "not installed", Verdict.PROBLEM, INSTALL)
            continue
        yield _version(name, found, tested)


def _version(name: str, found: str, tested: str) -> Finding:
    if reason := unfit(name, found):
        hint = f"Install {tested}: {reason}."
        return Finding(LIBRARIES, name, f"{found}, tested with {tested}", Verdict.PROBLEM, hint)
    if found.partition("+")[0] == tested:
        return Finding(LIBRARIES, name, found)
    hint = "Other versions may give other results; constraints.txt names the tested set."
    return Finding(LIBRARIES, name, f"{found}, tested with {tested}", Verdict.WARNING, hint)


def devices(machine: Machine) -> Iterator[Finding]:
    """What there is to compute on."""
    for driver in machine.drivers:
        yield Finding(DEVICES, "driver", driver)
    found = machine.devices
    if found is None:
        return
    if found.fault:
        hint = "Install torch again, for the GPU that there is: https://pytorch.org/get-started."
        yield Finding(DEVICES, "torch", f"cannot be loaded: {found.fault}", Verdict.PROBLEM, hint)
    elif found.gpus:
        for gpu in found.gpus:
            yield Finding(DEVICES, "GPU", f"{gpu.name}, {gpu.memory / GIB:.0f} GiB, CUDA {found.cuda}")
    elif machine.drivers:
        why = f"it was built for CUDA {found.cuda}" if found.cuda else "its build has no CUDA"
        hint = "Install the build of torch that goes with the driver, or look at CUDA_VISIBLE_DEVICES."
        yield Finding(DEVICES, "GPU", f"torch {found.build} sees none: {why}", Verdict.PROBLEM, hint)
    else:
        yield Finding(DEVICES, "GPU", f"none; torch {found.build} computes on the CPU")


def combinations(machine: Machine, stages: Mapping[str, Settings]) -> Iterator[Finding]:
    """What is known to go wrong together; `stages` are the settings of the trainings to come, by address."""
    yield from _commands(machine)
    if not machine.trains:
        return
    if "kernels" in machine.versions:
        hint = "`pip uninstall kernels`, or set HF_HUB_OFFLINE=1 once what is needed is in the cache."
        text = "transformers and bitsandbytes fetch compiled code from the hub while they are imported"
        yield Finding(COMBINATIONS, "kernels", text, Verdict.WARNING, hint)
    if "deepspeed" in machine.versions and not {"ninja", "g++"} <= machine.commands.keys():
        missing = " and ".join(sorted({"ninja", "g++"} - machine.commands.keys()))
        asks = [name for name, one in stages.items() if (one.get("distributed") or {}).get("strategy") == "deepspeed"]
        verdict = Verdict.PROBLEM if asks else Verdict.WARNING
        text = f"DeepSpeed compiles when it is first used, and there is no {missing} on PATH"
        yield Finding(COMBINATIONS, "deepspeed", text, verdict, "Install it, and start tune with it on PATH.")
    for address, settings in stages.items():
        yield from _stage(machine, address, settings)


def _commands(machine: Machine) -> Iterator[Finding]:
    path = machine.commands.get("tune")
    hint = "Use `tuneform`, which is the same command, or uninstall torchtune."
    if path is not None and b"torchtune" in Path(path).read_bytes():
        yield Finding(COMBINATIONS, "tune", f"{path} is torchtune's command", Verdict.WARNING, hint)
    elif "torchtune" in machine.versions:
        text = "torchtune is installed beside it and has a command of the same name"
        yield Finding(COMBINATIONS, "tune", text, Verdict.WARNING, hint)


def _stage(machine: Machine, address: str, settings: Settings) -> Iterator[Finding]:
    def found(text: str, verdict: Verdict, hint: str) -> Finding:
        return Finding(COMBINATIONS, address, text, verdict, hint)

    asked = tuple(needed(settings))
    for one in asked:
        if not machine.has_any_of(one.modules):
            yield found(one.lack, Verdict.PROBLEM, one.hint)
    if settings["attn_implementation"] == "flex_attention" and not machine.has_gpu:
        yield found("flex_attention cannot train on a CPU", Verdict.PROBLEM, 'Set attn_implementation = "sdpa".')
    in_few_bits = next((one for one in asked if "bitsandbytes" in one.modules), None)
    if in_few_bits is not None and machine.has_any_of(in_few_bits.modules) and not machine.has_gpu:
        hint = "Good for trying a recipe out; train where there is a GPU."
        yield found(f"{in_few_bits.asking} computes on the CPU, many times slower", Verdict.WARNING, hint)
    gpus = machine.devices.gpus if machine.devices is not None else ()
    if settings.get("bf16") and any(gpu.capability < BF16_SINCE for gpu in gpus):
        yield found("bf16 = true, which this GPU only imitates", Verdict.WARNING, "Set bf16 = false.")


def stages_of(steps: Sequence[Any]) -> dict[str, Settings]:
    """The settings of the trainings among a plan's steps that do any work."""
    return {step.address: step.settings for step in steps if step.kind == "train" and step.action in WORKS}
