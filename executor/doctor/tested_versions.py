"""The versions that the tests run with, of the libraries that decide results; `constraints.txt` holds all of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping

from executor.workers.software import installed
from state.diagnostic import Diagnostic

TESTED = {
    "accelerate": "1.15.0",
    "bitsandbytes": "0.50.2",
    "datasets": "5.2.0",
    "deepspeed": "0.19.8",
    "huggingface_hub": "2.4.0",
    "jinja2": "3.1.6",
    "peft": "0.21.2",
    "pyarrow": "26.0.1",
    "safetensors": "0.8.0",
    "tokenizers": "0.23.3",
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "trl": "1.16.0",
}
"""By the name of the distribution."""
NEEDED = ("accelerate", "jinja2", "peft", "pyarrow", "safetensors", "tokenizers", "torch", "transformers", "trl")
"""What every training takes; the others are for recipes that ask for them."""
RANGES: Mapping[str, tuple[int, int, str]] = {
    "transformers": (5, 6, "the trainer's arguments that tune sets are those of transformers 5"),
    "trl": (1, 2, "trainers and their arguments are those of TRL 1; version 2 removes some"),
    "torch": (2, 3, "checkpoints and deterministic algorithms are those of torch 2"),
}
"""Distributions that work from one major version on and below another one, and why."""


MAJOR = re.compile(r"\d+")


def unfit(name: str, found: str) -> str:
    """Why a version of a library is known not to work; "" for one of which nothing is known."""
    first, end, reason = RANGES.get(name, (0, sys.maxsize, ""))
    major = MAJOR.match(found)
    return "" if major is None or first <= int(major[0]) < end else reason


def lacking_here(address: str) -> Iterator[Diagnostic]:
    """What every training takes and is not installed here, all in one."""
    missing = [name for name in NEEDED if not installed(name)]
    if missing:
        detail = f"{address} is trained with {', '.join(missing)}, which this machine does not have."
        yield Diagnostic("Missing library", detail, "Run `pip install 'tuneform[train]'`, or apply where that is.")


def unfit_here() -> Iterator[Diagnostic]:
    """The libraries that are installed on this machine, and known not to train in the version that they have."""
    for name in RANGES:
        if (found := installed(name)) and (reason := unfit(name, found)):
            detail = f"{name} {found} is installed here, and {reason}."
            yield Diagnostic("Unfit library", detail, f"Install {TESTED[name]}, with which tune was tested.")
