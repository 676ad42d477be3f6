"""The order of prompts in each epoch, which follows from the seed and the epoch alone.

TRL's RepeatSampler draws every order from where the last one left its generator. A run that goes on from a checkpoint
starts with a new generator, and would see the order of the first epoch again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from state.values import frozen


@frozen
class PromptSampler:
    """A RepeatSampler that is brought to the epoch that a run is in before it draws."""

    inner: Any
    seed: int
    epoch: Callable[[], int]

    def __iter__(self) -> Iterator[int]:
        """Places of prompts, as the inner sampler would give them in this epoch of a run without a break."""
        import torch

        if self.inner.shuffle:
            self.inner.generator.manual_seed(self.seed)
            for _ in range(self.epoch()):
                torch.randperm(self.inner.num_samples, generator=self.inner.generator)
        return iter(self.inner)

    def __len__(self) -> int:
        """How many places an epoch has."""
        return len(self.inner)
