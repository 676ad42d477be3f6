"""What a process uses of the machine: memory at its peak, and how busy its GPU is."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

GIB = 2**30
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Linux counts in KiB."""


def usage() -> dict[str, float]:
    """`memory_gib`, the most that was ever held: of the GPU, with `memory_total_gib`, or of the process without one.

    `gpu_utilisation` in percent, over about the last second, where NVIDIA's library for it is installed.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
        return {"memory_gib": round(peak / GIB, 3)}
    found = {
        "memory_gib": round(torch.cuda.max_memory_reserved() / GIB, 3),
        "memory_total_gib": round(torch.cuda.mem_get_info()[1] / GIB, 3),
    }
    with suppress(Exception):  # no library, no permission, a driver that does not say: each raises something of its own
        found["gpu_utilisation"] = float(torch.cuda.utilization())
    return found
