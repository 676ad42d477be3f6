"""The batches of an evaluation, in which every row counts once however many processes there are.

accelerate would show the first rows again where processes cannot share all of them evenly, and TRL's trainers would
count them twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm
from typing import Any

from attrs import evolve

from state.values import frozen


@frozen
class SharedBatches:
    """A batch sampler of torch's kind, for all processes in turn; in each round their batches are equally large."""

    sampler: Any
    """The numbers of the rows, each as often as it is seen."""
    rows: int
    micro_batch_size: int
    processes: int = 1
    copies: int = 1
    """How often each row is seen, one after the other: answers to a prompt, which may lie in several processes."""

    @property
    def rounds(self) -> list[tuple[int, int]]:
        """How many rows there are in each round, and how often each of them more than elsewhere.

        What is left when processes have shared all that they can is given to them more often: each row of such a round
        as often as the others, so that its mean is that of its rows.
        """
        most = self.micro_batch_size * self.processes // self.copies
        least = lcm(self.processes, self.copies) // self.copies
        full, rest = divmod(self.rows, most)
        left = rest % least
        full_apart, apart = divmod(left, most // least)
        once = [most] * full + [rest - left] * (rest > left)
        return [(one, 1) for one in once] + [
            (one, least) for one in [most // least] * full_apart + [apart] * bool(apart)
        ]

    @property
    def shares(self) -> list[tuple[int, int]]:
        """Of each round: how many rows a process has in it, and how often each of them more than elsewhere."""
        return [(rows * same * self.copies // self.processes, same) for rows, same in self.rounds]

    def __iter__(self) -> Iterator[list[int]]:
        """The numbers of the rows of each batch."""
        order = iter(self.sampler)
        for rows, same in self.rounds:
            drawn = [next(order) for _ in range(rows * self.copies)] * same
            size = len(drawn) // self.processes
            yield from (drawn[start : start + size] for start in range(0, len(drawn), size))

    def __len__(self) -> int:
        """The batches of all processes."""
        return len(self.rounds) * self.processes


def share_evenly(trainer: Any) -> SharedBatches:  # noqa: ANN401  transformers has no types
    """Have a trainer evaluate its rows in such batches, which are returned as they follow one another."""
    make = trainer.get_eval_dataloader
    size, processes = trainer.args.per_device_eval_batch_size, trainer.accelerator.num_processes
    copies = getattr(trainer, "num_generations_eval", 1)

    def shared(*given: Any) -> Any:  # noqa: ANN401  torch's
        loader = make(*given)
        if processes > 1:
            shard = loader.batch_sampler
            shard.batch_sampler = evolve(batches, sampler=shard.batch_sampler.sampler)
            # Their size is not always the same, and nothing is to be cut off from what is gathered in the end.
            shard.batch_size = None
        return loader

    batches = SharedBatches((), len(trainer.eval_dataset), size, processes, copies)
    trainer.get_eval_dataloader = shared
    return batches
