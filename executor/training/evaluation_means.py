"""What an evaluation measures, as means over all that it saw, in whatever batches and processes that was.

Left alone, trainers take the mean of the means of batches, in which the tokens of short rows and the rows of the last
batch count for more: a run would find another model the best where its micro-batches are others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from attrs import define, field

from executor.data.examples import IGNORED

KEPT = ("_metrics", "_stored_metrics")
"""Where TRL's trainers keep what they measure beside the loss: a mean of each batch over all processes."""


CHOSEN, REJECTED, MARGINS = "rewards/chosen", "rewards/rejected", "rewards/margins"
"""Where answers are judged one by one, a margin is between all good and all bad ones, not between those of a batch."""
ALL = ""
Weights: TypeAlias = Callable[[Any, int], Mapping[str, float]]
"""(tensors of a batch, its rows) -> what it weighs: all of it, and parts of it that are measured apart, by the ends of
the measures' names."""


def trained_tokens(inputs: Any, _: int) -> dict[str, float]:  # noqa: ANN401  tensors
    """What a batch of texts weighs."""
    return {ALL: float((inputs["labels"][:, 1:] != IGNORED).sum())}


def whole_rows(_: object, rows: int) -> dict[str, float]:
    """What a batch of pairs weighs."""
    return {ALL: rows}


def judged_rows(inputs: Any, rows: int) -> dict[str, float]:  # noqa: ANN401  tensors
    """What a batch of judged answers weighs, and what the good and the bad ones in it do."""
    chosen = int(inputs["label"].sum())
    return {ALL: rows, "chosen": chosen, "rejected": rows - chosen}


@define(eq=False)
class EvaluationMeans:
    """Follows the batches of one evaluation after the other."""

    trainer: Any
    shares: Sequence[tuple[int, int]]
    """Of each batch: how many rows a process has, and how often each of them more than elsewhere."""
    weights: Weights
    _losses: list[float] = field(factory=list, init=False)
    """Of each batch, times its weight."""
    _weights: list[Mapping[str, float]] = field(factory=list, init=False)
    """Of each batch, over all processes."""

    def begin(self) -> None:
        """Forget the evaluation before, which may have been given up."""
        self._losses.clear()
        self._weights.clear()

    def follow(self) -> None:
        """Count from here on what the trainer's steps without learning measure."""
        step = self.trainer.prediction_step

        def followed(model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  torch's
            rows, same = self.shares[len(self._weights)]
            weights = {name: one / same for name, one in self.weights(inputs, rows).items()}
            given = step(model, inputs, *arguments, **options)
            self._count(given[0], weights)
            return given

        self.trainer.prediction_step = followed

    def _count(self, loss: Any, weights: Mapping[str, float]) -> None:  # noqa: ANN401  a tensor
        import torch

        # The mean over no token may be no number.
        summed = float(loss) * weights[ALL] if weights[ALL] else 0.0
        here = torch.tensor([summed, *weights.values()], dtype=torch.float64, device=loss.device)
        summed, *everywhere = self.trainer.accelerator.reduce(here, "sum").tolist()
        self._losses.append(summed)
        self._weights.append(dict(zip(weights, everywhere, strict=True)))

    def loss(self) -> float:
        """The loss of a token or a row; 0 where there was none."""
        return sum(self._losses) / max(1.0, sum(one[ALL] for one in self._weights))

    def weigh(self) -> None:
        """Have what the trainer keeps of each batch count by its weight when it takes the mean of the batches."""
        for kept in (getattr(self.trainer, name)["eval"] for name in KEPT if hasattr(self.trainer, name)):
            for name, values in kept.items():
                part = name.rpartition("/")[2]
                weights = [one.get(part, one[ALL]) for one in self._weights]
                if len(values) != len(weights):  # of what a batch has none of, it says nothing
                    weights = [one for one in weights if one]
                if len(values) == len(weights):
                    products = (float(value) * weight for value, weight in zip(values, weights, strict=True))
                    kept[name] = [sum(products) / max(1.0, sum(weights))]
            if "chosen" in self._weights[0] and {CHOSEN, REJECTED, MARGINS} <= kept.keys():
                kept[MARGINS] = [kept[CHOSEN][0] - kept[REJECTED][0]]
