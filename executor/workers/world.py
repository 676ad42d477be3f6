"""On how many processes a run is trained, and on which hosts: decided before any of them is started."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from state.canonical import Plain
from state.diagnostic import problem
from state.record import Checkpoint
from state.values import frozen

LOOPBACK = "127.0.0.1"
Strategy: TypeAlias = Literal["single", "ddp", "fsdp", "deepspeed"]


@frozen
class World:
    """The processes that train one run together."""

    strategy: Strategy = "single"
    processes: int = 1
    """On each node."""
    nodes: int = 1
    node_rank: int = 0
    main_address: str = LOOPBACK
    main_port: int = 0

    @property
    def size(self) -> int:
        """All processes of all nodes."""
        return self.processes * self.nodes


@frozen
class Host:
    """What only the machine and the command line can tell of it."""

    node_rank: int = 0
    main_address: str = ""
    """Where the other nodes reach the first one; "": by the name of this machine."""
    main_port: int = 0


def world_of(settings: Mapping[str, Plain], resume_from: Checkpoint | None, host: Host) -> World:
    """The processes for the settings on this host; raises ProblemError where it has too few GPUs.

    A run that is continued keeps the processes it had, unless the recipe says otherwise.
    """
    table: Any = settings.get("distributed")
    if table is None or table["strategy"] == "single":
        return World()
    nodes, processes = table["nodes"], table["processes"]
    gpus = 0 if processes == 1 else visible_gpus()
    if processes == "auto" and resume_from is not None and resume_from.world_size % nodes == 0:
        processes = resume_from.world_size // nodes
    elif processes == "auto":
        processes = most_processes(gpus, nodes, settings)
    if gpus and processes > gpus:
        why = "The checkpoint was written by" if table["processes"] == "auto" else "The recipe asks for"
        detail = f"{why} {processes} processes a node, and this host has {gpus} GPUs."
        raise problem("Too few GPUs", detail, "Lower `distributed.processes`, or use a host with more GPUs.")
    if table["strategy"] == "auto" and processes * nodes == 1:
        return World()
    return World(
        "ddp" if table["strategy"] == "auto" else table["strategy"],
        processes,
        nodes,
        host.node_rank,
        LOOPBACK if nodes == 1 else host.main_address or socket.gethostname(),
        host.main_port or free_port(),
    )


def most_processes(gpus: int, nodes: int, settings: Mapping[str, Any]) -> int:
    """The most processes of a node, one for each GPU, that share a batch evenly; raises ProblemError if none do."""
    batch = settings["batch_size"]
    for processes in range(max(1, gpus), 0, -1):
        share, rest = divmod(batch, processes * nodes)
        if not rest and not share % min(share, settings["micro_batch_size"]):
            return processes
    detail = f"{nodes} nodes cannot share `batch_size` = {batch} evenly."
    raise problem("Batch not divisible", detail, f"Use a multiple of {nodes}.")


def micro_batch(settings: Mapping[str, Any], world: World) -> int:
    """Rows that go through the model of one process at once: `micro_batch_size`, or its share if that is smaller."""
    return int(min(settings["micro_batch_size"], settings["batch_size"] // world.size))


def accumulation(settings: Mapping[str, Any], world: World) -> int:
    """Micro-batches of one process that make an optimizer step, so that all processes together see `batch_size`."""
    return int(settings["batch_size"]) // (micro_batch(settings, world) * world.size)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])


def visible_gpus() -> int:
    """NVIDIA GPUs that a process started from here would see; torch, which would know, is not loaded."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [one.strip() for one in chosen.split(",")]
        # CUDA ignores what follows the first invalid one.
        return next((place for place, name in enumerate(names) if name in ("", "-1")), len(names))
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"],  # noqa: S607  wherever the driver put it
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
