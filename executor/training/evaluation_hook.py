"""How a trainer evaluates for us: it measures more, and leaves no trace in what it trains."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from executor.training.token_means import TokenMeans

MOST = 700.0
"""Nats whose exponential is a number still."""


def attach(trainer: Any, measures: Callable[[Any, str], Mapping[str, float]] | None) -> None:  # noqa: ANN401
    """Have every evaluation put all random numbers back, and measure tokens where `measures` is for texts.

    What `measures` gives joins the loss before it is logged, so that trackers, files and selections all see it.
    """
    evaluate, loop, means = trainer.evaluate, trainer.evaluation_loop, TokenMeans(trainer)
    if measures is not None:
        means.follow()

    def undisturbing(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        with undisturbed():
            return evaluate(*arguments, **options)

    def measuring(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        means.begin()
        output, prefix = loop(*arguments, **options), options["metric_key_prefix"]
        if measures is not None:
            means.weigh()
            loss = means.loss()
            told = {f"{prefix}_loss": loss, f"{prefix}_perplexity": math.exp(min(loss, MOST))}
            output.metrics.update({**told, **measures(trainer, prefix)})
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
