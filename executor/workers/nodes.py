"""Several nodes: the first one applies, and the others run their ranks of each step that it announces.

It announces in a file below `.tune/`, which all nodes have to see at the same path; what every rank writes of a
checkpoint lies there too. Only the first node writes state.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve

from executor.workers import events
from executor.workers.launch import Emit, Stop, run_in_worker
from executor.workers.out_of_memory import OutOfMemoryError
from executor.workers.shared_steps import FAILURES, SharedStep, sharing
from executor.workers.task import Outcome, Task, task_from_plain, to_plain
from executor.workers.world import visible_gpus
from state.diagnostic import Diagnostic, ProblemError, problem
from state.durable import write_atomically
from state.owner import Owner
from state.values import frozen

ANNOUNCEMENT = Path("nodes") / "STEP.json"
LOOK_SECONDS = 0.5
"""How often the other nodes look."""


@frozen
class Announcement:
    """A step that all nodes build together."""

    id: str
    task: Task
    log: str


def build_on_nodes(task: Task, emit: Emit, stop: Stop, log: Path, owner: str) -> Outcome:
    """Build a task as `run_in_worker` does, while the other nodes that it is for, if any, are asked to join."""
    world = task.world
    if world.nodes == 1:
        return run_in_worker(task, emit, stop, log)
    folder = (Path(task.tune_folder) / ANNOUNCEMENT).parent
    with _announced(task, log, owner) as announced, sharing(SharedStep(folder, announced, 0), stop):
        others = "another node" if world.nodes == 2 else f"{world.nodes - 1} other nodes"  # noqa: PLR2004
        where = f"{world.main_address}:{world.main_port}"
        emit(events.Message(task.address, f"waits at {where} for {others}: there, `tune apply --node-rank N`"))
        return run_in_worker(task, emit, stop, log)


@contextmanager
def _announced(task: Task, log: Path, owner: str) -> Iterator[str]:
    """The step can be joined, under the id that this gives, while the `with` block runs."""
    path = Path(task.tune_folder) / ANNOUNCEMENT
    path.parent.mkdir(parents=True, exist_ok=True)
    for earlier in path.parent.glob(FAILURES):
        earlier.unlink()
    announced = os.urandom(8).hex()
    plain = {"id": announced, "owner": owner, "task": to_plain(task), "log": str(log)}
    write_atomically(path, json.dumps(plain).encode())
    try:
        yield announced
    finally:
        path.unlink(missing_ok=True)


@frozen
class Node:
    """One of the nodes that follow the first."""

    rank: int
    tune_folder: Path
    lacks: Callable[[Task], Sequence[Diagnostic]]
    """What this machine lacks for a step."""
    goes_on: Callable[[Task], bool]
    """Whether the first node announces a step that lacked memory once more, with a smaller micro-batch."""


def follow(node: Node, applying: Callable[[], Owner | None], emit: Emit, stop: Stop) -> bool:
    """Run the ranks of this node in every step that the first one announces, until its apply is over.

    `applying` tells who holds the state's lock and lives. Returns whether there was an apply; raises what
    `run_in_worker` raises, and ProblemError, of which the other nodes are told, where this one cannot join.
    """
    done, seen = "", False
    while not stop.requested:
        owner = applying()
        found = _read(node.tune_folder, owner.id) if owner is not None else None
        if found is not None and found.id != done:
            seen, done = True, found.id
            folder = (node.tune_folder / ANNOUNCEMENT).parent
            try:
                with sharing(SharedStep(folder, found.id, node.rank), stop):
                    _join(found, node, emit, stop)
            except OutOfMemoryError as error:
                if not node.goes_on(found.task):
                    raise
                lacked = error.diagnostics[0].detail
                emit(events.Message(found.task.address, f"{lacked} It is to be done in smaller parts."))
        elif owner is None and seen:
            return True
        else:
            seen = seen or owner is not None
            time.sleep(LOOK_SECONDS)
    return seen


def _read(tune_folder: Path, owner: str) -> Announcement | None:
    """What the first node announces, if it is the owner of the lock: a killed one may have left its own behind."""
    try:
        plain = json.loads((tune_folder / ANNOUNCEMENT).read_bytes())
    except FileNotFoundError:
        return None
    if plain["owner"] != owner:
        return None
    return Announcement(plain["id"], task_from_plain(plain["task"]), plain["log"])


def _join(found: Announcement, node: Node, emit: Emit, stop: Stop) -> None:
    task, world = found.task, found.task.world
    _refuse_to_be_elsewhere(task, node)
    gpus = visible_gpus()
    if gpus and world.processes > gpus:
        detail = f"{task.address} has {world.processes} processes on each node, and this one has {gpus} GPUs."
        raise problem("Too few GPUs", detail, "Lower `distributed.processes`.")
    lacking = node.lacks(task)
    if lacking:
        raise ProblemError(lacking)
    emit(events.Message(task.address, f"joins {world.main_address}:{world.main_port} as node {node.rank}"))
    run_in_worker(evolve(task, world=evolve(world, node_rank=node.rank)), emit, stop, Path(found.log))


def _refuse_to_be_elsewhere(task: Task, node: Node) -> None:
    """The node must be one of those that the step is for, and see what that reads where the first one sees it."""
    if Path(task.tune_folder) != node.tune_folder:
        detail = f"The first node has it at `{task.tune_folder}`, and this one at `{node.tune_folder}`."
        raise problem("Folder elsewhere", detail, "All nodes must see the recipe's folder at the same path.")
    if node.rank >= task.world.nodes:
        detail = f"{task.address} is trained on {task.world.nodes} nodes: their ranks are 0 to {task.world.nodes - 1}."
        raise problem("No such node", detail, "Give each node another `--node-rank`.")
    read = [one for group in task.inputs.values() for one in group]
    missing = [
        Diagnostic(
            "Folder elsewhere",
            f"The first node has {one.address} at `{one.folder}`, and this one has nothing there.",
            "Mount it, or copy it, to the same path on all nodes.",
        )
        for one in read
        if not Path(one.folder).exists()
    ]
    if missing:
        raise ProblemError(missing)
