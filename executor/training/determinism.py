"""A training whose every operation has one result on one type of machine, where the recipe asks for it."""

from __future__ import annotations

import os

ENVIRONMENT = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "FLASH_ATTENTION_DETERMINISTIC": "1"}
"""What NVIDIA's linear algebra and flash attention read when they are first used."""
REFUSED = "does not have a deterministic implementation"
"""What torch says of an operation that has none."""


def enforce() -> None:
    """Let torch choose deterministic algorithms, and raise where there is none; before anything runs on a GPU."""
    import torch

    os.environ.update(ENVIRONMENT)
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cudnn.benchmark = False
    # Memory that nothing has written to would be filled first, which takes time and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a module-level property
