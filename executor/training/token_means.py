"""What an evaluation measures of tokens, as means over all of them, in whatever batches and processes they are.

Left alone, trainers take the mean of the means of batches, in which the tokens of short rows count for more: a run
would find another model the best where its micro-batches are others.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from executor.data.examples import IGNORED

MEANS = ("mean_token_accuracy", "entropy")
"""What TRL's trainer keeps beside the loss, a mean of each batch over all processes."""


@define(eq=False)
class TokenMeans:
    """Follows the batches of one evaluation after the other."""

    trainer: Any
    _losses: list[float] = field(factory=list, init=False)
    """Of each batch, summed over the tokens of all processes."""
    _tokens: list[float] = field(factory=list, init=False)

    def begin(self) -> None:
        """Forget the evaluation before, which may have been given up."""
        self._losses.clear()
        self._tokens.clear()

    def follow(self) -> None:
        """Count from here on what the trainer's steps without learning measure."""
        step = self.trainer.prediction_step

        def followed(model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  torch's
            trained = (inputs["labels"][:, 1:] != IGNORED).sum()
            given = step(model, inputs, *arguments, **options)
            self._count(given[0], trained)
            return given

        self.trainer.prediction_step = followed

    def _count(self, loss: Any, trained: Any) -> None:  # noqa: ANN401  tensors
        import torch

        tokens = trained.to(loss.device)
        # The mean over no token may be no number.
        summed = torch.where(tokens > 0, loss.double() * tokens, 0)
        both = self.trainer.accelerator.reduce(torch.stack([summed, tokens.double()]), "sum")
        self._losses.append(float(both[0]))
        self._tokens.append(float(both[1]))

    def loss(self) -> float:
        """The loss of a token; 0 where none is trained."""
        return sum(self._losses) / max(1.0, sum(self._tokens))

    def weigh(self) -> None:
        """Have what the trainer keeps of each batch count by its tokens when it takes the mean of the batches."""
        kept = self.trainer._metrics["eval"]  # noqa: SLF001  there is no other way
        for name in MEANS:
            if len(kept[name]) == len(self._tokens):
                products = (value * count for value, count in zip(kept[name], self._tokens, strict=True))
                kept[name] = [sum(products) / max(1.0, sum(self._tokens))]
