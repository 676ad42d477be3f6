"""Time that passes, and processor time that is used, of what a benchmark measures."""

from __future__ import annotations

import os
import time

from attrs import field, frozen


@frozen
class Clock:
    """Time that passes from now on, and processor time of this process and of those that it waited for."""

    began: float = field(factory=time.perf_counter)
    used: float = field(factory=lambda: sum(os.times()[:4]))

    def read(self, name: str) -> dict[str, float]:
        """Both, by name."""
        return {name: time.perf_counter() - self.began, f"{name}_processor": sum(os.times()[:4]) - self.used}


def best(taken: list[dict[str, float]]) -> dict[str, float]:
    """The least of each of some measurements."""
    return {name: min(one[name] for one in taken) for name in taken[0]}
