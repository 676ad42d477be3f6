"""The ranks that train together, as one of them sees them: which it is, and what they must agree on.

What they agree on goes over gloo on the CPU, whatever gradients go over, so that no GPU has to be waited for.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from executor.models.loading import has_gpu
from executor.workers.world import World
from state.values import frozen

T = TypeVar("T")
PATIENCE = timedelta(hours=12)
"""How long ranks wait for each other: the first may have hundreds of gigabytes to make durable. A dead one is
noticed."""


@frozen
class Ranks:
    """The place of this process among the ranks; alone where there is only one."""

    rank: int = 0
    size: int = 1
    _group: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes and tells."""
        return self.rank == 0

    def any(self, asked: bool) -> bool:  # noqa: FBT001  one value from each rank
        """Whether any rank says yes. All ranks must ask, and wait for each other."""
        if self._group is None:
            return asked
        import torch
        import torch.distributed

        answer = torch.tensor([int(asked)])
        torch.distributed.all_reduce(answer, torch.distributed.ReduceOp.MAX, group=self._group)
        return bool(answer.item())

    def wait_for_all(self) -> None:
        """Go on when all ranks have come this far."""
        self.any(asked=False)

    def as_first(self, value: T) -> T:
        """What the first rank has for a value, on all: roundings that differ must not let some end and others wait."""
        if self._group is None:
            return value
        import torch.distributed

        shared = [value]
        torch.distributed.broadcast_object_list(shared, src=0, group=self._group)
        return shared[0]

    def end(self) -> None:
        """Leave, when all have come this far: whoever leaves early fails those who still work."""
        if self._group is not None:
            import torch.distributed

            self.wait_for_all()
            torch.distributed.destroy_process_group()


ALONE = Ranks()


def join(world: World) -> Ranks:
    """Find the other ranks, as the environment says where they are; raises what torch raises if they do not come."""
    if world.strategy == "single":
        return ALONE
    import torch
    import torch.distributed

    with _stopped_at_once():
        _meet(world)
    group = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
    return Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size(), group)


@contextmanager
def _stopped_at_once() -> Iterator[None]:
    """SIGTERM ends this process: torch waits for the others where Python hears no signal, and nothing is lost yet."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _meet(world: World) -> None:
    import torch
    import torch.distributed

    if world.strategy == "deepspeed":
        from executor.training.strategies import start_deepspeed

        start_deepspeed()
    elif has_gpu():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.distributed.init_process_group("nccl")
    else:
        torch.distributed.init_process_group("gloo")
