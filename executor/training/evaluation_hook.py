"""How a trainer evaluates for us: it measures more, and leaves no trace in what it trains."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from executor.tokens.row_layout import RowLayout
from executor.training.evaluation_means import EvaluationMeans, Weights, judged_rows, trained_tokens, whole_rows
from executor.training.shared_batches import share_evenly

MOST = 700.0
"""Nats whose exponential is a number still."""

WEIGHTS: Mapping[RowLayout, Weights] = {"documents": trained_tokens, "judged": judged_rows}
"""What batches weigh, by the layout of their rows, where it is not their rows."""


def attach(trainer: Any, layout: RowLayout, measures: Callable[[Any, str], Mapping[str, float]]) -> None:  # noqa: ANN401
    """Have every evaluation put all random numbers back, count each row once, and measure what the layout allows.

    What `measures` gives joins the loss before it is logged, so that trackers, files and selections all see it.
    """
    evaluate = trainer.evaluate

    def undisturbing(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        with undisturbed():
            return evaluate(*arguments, **options)

    trainer.evaluate = undisturbing
    if trainer.eval_dataset is not None:
        _measure(trainer, layout, measures)


def _measure(trainer: Any, layout: RowLayout, measures: Callable[[Any, str], Mapping[str, float]]) -> None:  # noqa: ANN401
    means = EvaluationMeans(trainer, share_evenly(trainer).shares, WEIGHTS.get(layout, whole_rows))
    means.follow()
    loop = trainer.evaluation_loop

    def measuring(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        means.begin()
        output, prefix = loop(*arguments, **options), options["metric_key_prefix"]
        means.weigh()
        told = {f"{prefix}_loss": means.loss()}
        if layout == "documents":
            told[f"{prefix}_perplexity"] = math.exp(min(means.loss(), MOST))
        output.metrics.update({**told, **measures(trainer, prefix)})
        return output

    trainer.evaluation_loop = measuring


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
