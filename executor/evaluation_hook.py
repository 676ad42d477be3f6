"""How a trainer evaluates for us: without leaving a trace in what it trains."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def attach(trainer: Any) -> None:  # noqa: ANN401  transformers has no types
    """Have every evaluation of a trainer leave the random numbers alone that the training goes on to draw."""
    evaluate = trainer.evaluate

    def undisturbing(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        with undisturbed():
            return evaluate(*arguments, **options)

    trainer.evaluate = undisturbing


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put every source of random numbers back where it was: loaders draw from them, and dropout would from then on."""
    import numpy as np
    import torch

    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002  what transformers seeds
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)  # noqa: NPY002
