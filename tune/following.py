"""What `tune apply` does on all nodes but the first: it trains along, and writes no state."""

from __future__ import annotations

from collections.abc import Sequence

from executor.applying.smaller_batches import smaller
from executor.workers.launch import InterruptedStepError, Stop
from executor.workers.nodes import Node, follow
from executor.workers.task import Task
from executor.workers.world import Host
from state.diagnostic import Diagnostic
from state.lock import is_dead, read_owner
from state.owner import Owner
from tune.cli import INTERRUPTED
from tune.project import Project
from tune.stopping import stopping
from tune.views.run import View


def follow_first_node(project: Project, host: Host, view: View, stop: Stop) -> int:
    """Run this node's ranks until the apply of the first node is over; the exit code."""

    def applying() -> Owner | None:
        owner = read_owner(project.backend)
        return None if owner is None or is_dead(owner) else owner

    def lacks(task: Task) -> Sequence[Diagnostic]:
        return project.kinds[task.kind].lacks(task.address, task.settings)

    node = Node(host.node_rank, project.layout.root, lacks, lambda task: smaller(task) is not None)
    with stopping(stop, view.urgently), view:
        view.note(f"Waiting for the apply of node 0, as node {host.node_rank}.")
        try:
            follow(node, applying, view.show, stop)
        except InterruptedStepError:
            return INTERRUPTED
    return INTERRUPTED if stop.requested else 0
