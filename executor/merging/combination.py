"""How several adapters are combined into one, in the words of PEFT's `add_weighted_adapter`."""

from __future__ import annotations

from typing import Literal, TypeAlias

from state.values import frozen

CombinationType: TypeAlias = Literal["linear", "cat", "ties", "dare_linear", "dare_ties", "magnitude_prune"]
PRUNING = ("ties", "dare_linear", "dare_ties", "magnitude_prune")
"""Those that keep only a part of the numbers, their `density`."""
ELECTING = ("ties", "dare_ties")
"""Those in which the adapters vote on the sign of every number."""
CHANCE = ("dare_linear", "dare_ties")
"""Those that draw which numbers are kept."""


@frozen
class Combination:
    """How adapters are combined, in PEFT's words."""

    weights: tuple[float, ...]
    combination_type: str
    density: float | None
    majority_sign_method: str
    seed: int
