"""Out of memory, on a GPU or on the host: how it is recognised, how much was in use, and which knobs there are."""

from __future__ import annotations

import errno
import os
import re
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from executor.workers.task import Task
from executor.workers.world import micro_batch
from state.diagnostic import Diagnostic, ProblemError
from state.values import frozen

SUMMARY = "Out of memory"
_MARKS = ("out of memory", "can't allocate memory", "cannot allocate memory", "status_alloc_failed")
"""How torch, CUDA's libraries and the C library say it, in lower case."""
_ASKED = re.compile(r"tried to allocate ([\d.]+ \w+)", re.IGNORECASE)
_GIB = 2.0**30
_GROUPS = Path("/sys/fs/cgroup")


class OutOfMemoryError(ProblemError):
    """A step needed more memory than there is."""


def failure(diagnostics: Sequence[Diagnostic], otherwise: type[ProblemError]) -> ProblemError:
    """What to raise for the last words of a step: too little memory, if that is what they say first."""
    lacked = diagnostics[0].summary == SUMMARY
    return (OutOfMemoryError if lacked else otherwise)(diagnostics)


@frozen
class Usage:
    """The most memory that was in use at once, and how much there is, in bytes."""

    peak: int
    total: int
    what: str

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.peak / _GIB:.1f} of {self.total / _GIB:.1f} GiB of {self.what}"


@frozen
class Kills:
    """What the kernel has counted before a process is started, to tell afterwards what became of it."""

    out_of_memory: int
    peak: int
    """Of the largest child of this process that has ended, in bytes."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was refused: by a GPU, by Python, by the kernel."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    refused = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return refused or any(mark in str(error).lower() for mark in _MARKS)


def explain(error: BaseException, task: Task) -> Diagnostic:
    """What a step that ran out of memory had used, and what to turn."""
    asked = _ASKED.search(str(error))
    more = f", and {_in_gib(asked[1])} more were refused" if asked else ""
    return Diagnostic(SUMMARY, f"{task.address} had {_used()} in use at its peak{more}.", knobs(task))


def _in_gib(size: str) -> str:
    """A size as a person reads it: GPUs' allocators say GiB or MiB, that of the CPU says bytes."""
    number, _, unit = size.partition(" ")
    return f"{int(number) / _GIB:.2f} GiB" if unit == "bytes" else size


def before() -> Kills:
    """The kernel's counts at this moment."""
    return Kills(_kernel_kills(), _largest_child())


def killed(task: Task, counted: Kills) -> Diagnostic | None:
    """What to say of a process that SIGKILL has ended; None if the kernel does not say that it lacked memory."""
    if _kernel_kills() <= counted.out_of_memory:
        return None
    peak, (total, what) = _largest_child(), host_limit()
    # A child that was no larger than an earlier one leaves no trace of its size.
    used = f"{Usage(peak, total, what)}" if peak > counted.peak else f"less than {peak / _GIB:.1f} GiB"
    return Diagnostic(SUMMARY, f"The kernel killed {task.address}, which had {used} in use at its peak.", knobs(task))


def knobs(task: Task) -> str:
    """What can be turned, with what it is now, the cheapest first."""
    return " ".join(_training_knobs(task) if task.kind == "train" else _other_knobs(task.settings))


def _training_knobs(task: Task) -> Iterator[str]:
    settings: Mapping[str, Any] = task.settings
    micro, length = micro_batch(settings, task.world), task.one("tokens").settings.get("sequence_len")
    if micro > 1:
        yield f"Lower `micro_batch_size` = {micro}: `batch_size` = {settings['batch_size']} stays what a step sees."
        if not settings["auto_micro_batch"]:
            yield "`auto_micro_batch` = true does that by itself."
    if not settings["gradient_checkpointing"]:
        yield "Set `gradient_checkpointing` = true, which changes no weight."
    yield f"Or train something else: a lower `sequence_len` = {length}" + (
        ", an `adapter` instead of all weights." if settings["adapter"] is None else "."
    )


def _other_knobs(settings: Mapping[str, Any]) -> Iterator[str]:
    if "batch_size" in settings:
        yield f"Lower `batch_size` = {settings['batch_size']}."
    yield "End what else runs on the machine, or use a larger one."


def _used() -> Usage:
    """The memory that this process computes in: of its GPU if it has loaded one, else of the host."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        return Usage(torch.cuda.max_memory_reserved(), total, "GPU memory")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        return Usage(_status("VmPeak"), limit, "the address space that `ulimit -v` allows")
    total, what = host_limit()
    return Usage(_status("VmHWM"), total, what)


def host_limit() -> tuple[int, str]:
    """How many bytes of memory processes here can have, and whose they are."""
    pages, page = (os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_PAGE_SIZE"))
    machine = pages * page
    try:
        container = int((_GROUPS / "memory.max").read_text())
    except (OSError, ValueError):  # another system, or "max"
        container = machine
    return (container, "the container's memory") if container < machine else (machine, "the machine's memory")


def _status(name: str) -> int:
    """A figure of this process in bytes, as Linux tells it."""
    lines = _lines(Path("/proc/self/status"))
    found = (int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    return next(found, 0) if lines else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _largest_child() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _kernel_kills() -> int:
    """How many processes of our control group the kernel has killed for want of memory; else, how many of all."""
    counts = (line for file in _counters() for line in _lines(file) if line.startswith("oom_kill "))
    return next((int(line.split()[1]) for line in counts), 0)


def _counters() -> Iterator[Path]:
    """Where the kernel counts such kills, our own group's first: others' processes die on a shared machine too.

    Within a container the path of the group may be that on its host, and the group lies at the top.
    """
    for line in _lines(Path("/proc/self/cgroup")):
        _, controllers, group = line.split(":", 2)
        for below in (group.lstrip("/"), ""):
            if not controllers:
                yield _GROUPS / below / "memory.events"
            elif "memory" in controllers.split(","):
                yield _GROUPS / "memory" / below / "memory.oom_control"
    yield Path("/proc/vmstat")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # another system, or another generation of control groups
        return []
