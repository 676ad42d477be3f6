"""What TRL's ORPO and CPO trainers are given: they are experimental there, and prepare rows in ways of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from executor.data.examples import IGNORED
from executor.models.loading import padding_id
from executor.training import trainers
from executor.training.collation import padded
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run


def quietly() -> None:
    """TRL warns of its experimental part when it is imported; the version that is installed is in the record."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def paired(run: Run, trainer: type[Any], arguments: Any) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer of pairs that takes the token rows as they are."""
    made = trainers.common(run)
    for name in ("train_dataset", "eval_dataset"):
        made[name] = _unmapped(made[name])
    collator = PairCollator(padding_id(made["processing_class"]))
    return trainers.ready(trainer(args=arguments, data_collator=collator, **made))


def _unmapped(rows: Any) -> Any:  # noqa: ANN401  datasets has no types
    """Rows on which `map` does nothing: with it, these trainers would render and tokenize."""
    if rows is None:
        return None
    from datasets import Dataset

    def keep(self: object, *_: object, **__: object) -> object:
        return self

    return type("TokenRows", (Dataset,), {"map": keep})(rows.data)


@frozen
class PairCollator:
    """Turns pairs into tensors of shape (rows, longest), padded on the right; prompts carry no label."""

    pad_id: int

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """One batch."""
        import torch

        batch: dict[str, list[list[int]]] = {}
        for side in ("chosen", "rejected"):
            whole = [one["prompt_ids"] + one[f"{side}_ids"] for one in rows]
            width = max(map(len, whole))
            labels = [[IGNORED] * len(one["prompt_ids"]) + one[f"{side}_ids"] for one in rows]
            batch[f"{side}_input_ids"] = [padded(one, width, self.pad_id) for one in whole]
            batch[f"{side}_attention_mask"] = [padded([1] * len(one), width, 0) for one in whole]
            batch[f"{side}_labels"] = [padded(one, width, IGNORED) for one in labels]
        return {name: torch.tensor(values, dtype=torch.long) for name, values in batch.items()}
