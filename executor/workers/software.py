"""Which libraries and which machine a step ran with, as its record keeps it."""

from __future__ import annotations

import sys

RECORDED = (
    *("torch", "transformers", "trl", "peft", "accelerate", "tokenizers", "pyarrow", "bitsandbytes", "deepspeed"),
    "lm_eval",
)
"""Distributions whose version can change a result."""


def versions(*used: str) -> dict[str, str]:
    """Versions of the libraries that this process has loaded, or used without Python knowing of it."""
    import platform
    from importlib.metadata import version

    loaded = {name: version(name) for name in RECORDED if name in sys.modules or name in used}
    return {"python": platform.python_version(), **loaded}


def installed(library: str) -> str:
    """The version of a distribution, without loading it; "" where there is none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def hardware() -> str:
    """The device that this process computes on, in words."""
    import platform

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        count = torch.cuda.device_count()
        return f"{count} x {torch.cuda.get_device_name(0)}"
    capability = f", {torch.backends.cpu.get_cpu_capability()}" if torch is not None else ""
    return f"cpu ({platform.machine()}{capability})"


def gpus() -> int:
    """How many GPUs this process can use."""
    torch = sys.modules.get("torch")
    return torch.cuda.device_count() if torch is not None and torch.cuda.is_available() else 0
