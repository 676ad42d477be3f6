"""What a machine has: libraries, GPUs, commands; read once, without importing any of the libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from executor.doctor.tested_versions import TESTED
from executor.training.needed_libraries import MODULES
from executor.workers.software import installed
from state.values import frozen

ALSO = ("torchtune", "kernels", "flash-attn", "ninja", "vllm")
"""Distributions that matter only by being there or not."""
SECONDS = 120
"""How long torch may take to be loaded and to look for GPUs."""
_ASK = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
gpus = [torch.cuda.get_device_properties(at) for at in range(count)]
print(json.dumps({"build": torch.__version__, "cuda": torch.version.cuda or torch.version.hip or "",
    "gpus": [{"name": one.name, "memory": one.total_memory, "capability": [one.major, one.minor]} for one in gpus]}))
"""


@frozen
class Gpu:
    """One GPU as torch sees it."""

    name: str
    memory: int
    """Bytes."""
    capability: tuple[int, int]


@frozen
class Devices:
    """What torch computes on."""

    build: str
    """The version of torch with its build, such as 2.13.0+cpu; "" where it could not be loaded."""
    cuda: str
    """The version of CUDA, or ROCm, that it was built for; "" for none."""
    gpus: tuple[Gpu, ...]
    fault: str = ""
    """Why it could not be loaded."""


@frozen
class Machine:
    """One machine, as far as training cares."""

    versions: Mapping[str, str]
    """Of the distributions that are installed."""
    devices: Devices | None
    """None where torch is not installed."""
    drivers: tuple[str, ...]
    """GPUs with their drivers, as nvidia-smi names them."""
    commands: Mapping[str, str]
    """Paths of the commands that were found on PATH."""
    modules: frozenset[str] = frozenset()
    """What can be imported of what a recipe may ask for."""

    def has_any_of(self, modules: Iterable[str]) -> bool:
        """Whether one of these can be imported."""
        return not self.modules.isdisjoint(modules)

    @property
    def trains(self) -> bool:
        """Whether anything can be trained here at all."""
        return "torch" in self.versions

    @property
    def has_gpu(self) -> bool:
        """Whether torch can use a GPU."""
        return self.devices is not None and bool(self.devices.gpus)


def this_machine() -> Machine:
    """The machine at hand."""
    names = (*TESTED, *ALSO)
    versions = {name: found for name in names if (found := installed(name))}
    commands = {name: path for name in ("tune", "ninja", "g++", "nvidia-smi") if (path := shutil.which(name))}
    devices = _devices() if "torch" in versions else None
    modules = frozenset(one for one in MODULES if find_spec(one) is not None)
    return Machine(versions, devices, _drivers(commands.get("nvidia-smi")), commands, modules)


def _devices() -> Devices:
    """Ask torch in a process of its own: it takes seconds to load, and a broken one takes its process with it."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    command = [sys.executable, "-c", _ASK]
    try:
        done = subprocess.run(  # noqa: S603  our own words
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env={**environment, "PYTHONSAFEPATH": "1"},
            cwd=Path(sys.executable).parent,
        )
    except subprocess.TimeoutExpired:
        return Devices("", "", (), f"it was not loaded within {SECONDS} s")
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()
        return Devices("", "", (), last[-1] if last else f"its process ended with exit code {done.returncode}")
    told = json.loads(done.stdout.splitlines()[-1])
    gpus = tuple(Gpu(one["name"], one["memory"], tuple(one["capability"])) for one in told["gpus"])
    return Devices(told["build"], told["cuda"], gpus)


def _drivers(command: str | None) -> tuple[str, ...]:
    if command is None:
        return ()
    asked = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603  NVIDIA's
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip()) if done.returncode == 0 else ()
