"""What trainers are given that let the model answer: prompts as they were encoded, in an order without breaks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Sized
from typing import Any

from executor.training.drawn_answers import DrawnAnswers
from executor.training.prompt_sampler import PromptSampler
from state.diagnostic import problem


def enough_prompts(rows: Sized, prompts: int) -> None:
    """Raise ProblemError if there are fewer rows than one step takes."""
    if len(rows) < prompts:
        detail = f"One step takes {prompts} prompts, and there are only {len(rows)}."
        raise problem("No rows", detail, "Lower `batch_size`.")


def on_token_rows(trainer: type[Any], prompts: int, answers: DrawnAnswers) -> type[Any]:
    """A trainer that takes the ids of prompts as they were encoded, instead of rendering and encoding them again.

    A step takes so many prompts, in an order that is the same after a break. What is drawn is shown to `answers`.
    """

    def score(self: Any, rows: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401  TRL has no types
        """Reward functions see rows as the data has them; the ids of their prompts go to generation."""
        self.asked = [one["prompt_ids"] for one in rows]
        made = trainer._generate_and_score_completions(self, [json.loads(one["row"]) for one in rows])  # noqa: SLF001  the one place where rows come in
        answers.keep(self, self.asked, made)
        return made

    def ids(self: Any, _: object) -> tuple[list[list[int]], None, dict[str, Any]]:  # noqa: ANN401
        return self.asked, None, {}

    def sampler(self: Any, rows: Any = None) -> PromptSampler:  # noqa: ANN401
        steps = max(1, len(self.train_dataset) // prompts)
        return PromptSampler(
            trainer._get_train_sampler(self, rows),  # noqa: SLF001
            self.args.seed,
            lambda: int(self.state.global_step) // steps,
        )

    changed = {
        "_generate_and_score_completions": score,
        "_tokenize_prompts": ids,
        "_get_train_sampler": sampler,
        "answers": answers,
    }
    return type(trainer.__name__, (trainer,), changed)
