"""What a model says to its prompts while it learns from what it says: some of it is kept to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from state.canonical import Plain


@define(eq=False)
class DrawnAnswers:
    """The first answer to each of the first prompts of an evaluation, as the first process has drawn it."""

    limit: int
    _rows: dict[tuple[int, ...], dict[str, Plain]] = field(factory=dict, init=False)
    """By what was asked."""

    def keep(self, trainer: Any, asked: Sequence[Sequence[int]], made: Mapping[str, Any]) -> None:  # noqa: ANN401
        """Look at what was just drawn, given what TRL's trainer makes of it; what is to be learnt from is not kept."""
        if trainer.model.training or len(self._rows) >= self.limit:
            return
        rewards = _rewards(trainer, len(asked))
        for at, prompt in enumerate(map(tuple, asked)):
            if len(self._rows) < self.limit and prompt not in self._rows:
                said = made["completion_ids"][at][made["completion_mask"][at].bool()]
                decode = trainer.processing_class.decode
                row: dict[str, Plain] = {
                    "prompt": decode(list(prompt)),
                    "answer": decode(said, skip_special_tokens=True),
                }
                self._rows[prompt] = row | ({"reward": rewards[at]} if rewards else {})

    def taken(self) -> list[dict[str, Plain]]:
        """What was kept since the last evaluation."""
        rows = list(self._rows.values())
        self._rows.clear()
        return rows


def _rewards(trainer: Any, answers: int) -> list[float]:  # noqa: ANN401  TRL has no types
    """What the answers of the first process were rewarded with; nothing where a method has no rewards."""
    given = getattr(trainer, "_logs", {}).get("rewards")
    if not given:
        return []
    together = answers * trainer.accelerator.num_processes
    rewards = [list(given[name])[-together:][:answers] for name in trainer.reward_func_names]
    weights = [float(one) for one in trainer.reward_weights]
    weighed = [[one * weight for one, weight in zip(each, weights, strict=True)] for each in zip(*rewards, strict=True)]
    return [round(sum(one for one in each if one == one), 6) for each in weighed]  # noqa: PLR0124  some have none
