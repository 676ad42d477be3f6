"""How a trainer evaluates for us: it measures more, and leaves no trace in what it trains."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

MOST = 700.0
"""Nats whose exponential is a number still."""


def attach(trainer: Any, measures: Callable[[Any, str], Mapping[str, float]] | None) -> None:  # noqa: ANN401
    """Have every evaluation put all random numbers back, and measure perplexity and more where there is something to.

    What `measures` gives joins the loss before it is logged, so that trackers, files and selections all see it.
    """
    evaluate, loop = trainer.evaluate, trainer.evaluation_loop

    def undisturbing(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        with undisturbed():
            return evaluate(*arguments, **options)

    def measuring(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        output, prefix = loop(*arguments, **options), options["metric_key_prefix"]
        if measures is not None:
            loss = min(output.metrics[f"{prefix}_loss"], MOST)
            output.metrics.update({f"{prefix}_perplexity": math.exp(loss), **measures(trainer, prefix)})
        return output

    trainer.evaluate, trainer.evaluation_loop = undisturbing, measuring


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
