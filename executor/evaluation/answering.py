"""Answers of a model while it trains: what it is asked, how it is measured, and what is kept to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.data.examples import IGNORED
from executor.evaluation.answer_metrics import Metric, answer_metrics
from executor.evaluation.evaluating import Prediction, answer
from executor.evaluation.sample_file import SampleFile
from executor.tokens.row_layout import RowLayout
from executor.tokens.token_files import VALIDATION
from executor.workers.ranks import Ranks
from executor.workers.worker_reports import Reporter
from executor.workers.world import micro_batch
from state.values import frozen

if TYPE_CHECKING:
    from executor.training.training_run import Run


def questions(rows: Sequence[Mapping[str, Any]], tokenizer: Any, limit: int) -> dict[str, list[Any]]:  # noqa: ANN401
    """The last answers of the first rows: `input_ids` up to each, and the `reference` as text.

    Rows that are trained from their first token on ask nothing, and are passed over.
    """
    found: dict[str, list[Any]] = {"input_ids": [], "reference": []}
    for row in rows:
        start, end = _last_answer(row["labels"])
        if start and len(found["input_ids"]) < limit:
            found["input_ids"].append(list(row["input_ids"][:start]))
            found["reference"].append(tokenizer.decode(row["input_ids"][start:end], skip_special_tokens=True))
    return found


def _last_answer(labels: Sequence[int]) -> tuple[int, int]:
    """Where the last trained tokens that stand together begin and end; (0, 0) where none is trained."""
    end = len(labels)
    while end and labels[end - 1] == IGNORED:
        end -= 1
    start = end
    while start and labels[start - 1] != IGNORED:
        start -= 1
    return start, end


@frozen
class Answering:
    """Has the model that trains answer, in every process the same, so that none waits for another."""

    questions: Mapping[str, Sequence[Any]]
    tokenizer: Any
    batch_size: int
    max_new_tokens: int
    metrics: Sequence[Metric]
    samples: int
    """How many of the first answers are kept."""
    file: SampleFile
    reporter: Reporter
    ranks: Ranks

    def __call__(self, trainer: Any, prefix: str) -> dict[str, float]:  # noqa: ANN401  transformers has no types
        """What the answers measure, by name; every process has the figures of the first."""
        if not self.questions["input_ids"]:
            return {}
        model, handler = trainer.model, trainer.callback_handler
        was_training = model.training
        model.eval()
        try:
            given = answer(
                model,
                self.tokenizer,
                self.questions,
                self.batch_size,
                self.max_new_tokens,
                self.reporter,
                between=lambda: handler.on_prediction_step(trainer.args, trainer.state, trainer.control),
            )
        finally:
            model.train(was_training)
        if self.ranks.is_first:
            samples = [
                {"prompt": one.question, "answer": one.answer, "reference": one.reference}
                for one in given[: self.samples]
            ]
            self.file.add(int(trainer.state.global_step), samples)
        figures = {f"{prefix}_{name}": value for name, value in self._measured(given)} if self.ranks.is_first else {}
        return self.ranks.as_first(figures)

    def _measured(self, given: Sequence[Prediction]) -> Iterator[tuple[str, float]]:
        for metric in self.metrics:
            yield from metric(given).items()


def answering_of(run: Run, layout: RowLayout) -> Callable[[Any, str], dict[str, float]]:
    """What is measured beside the loss, by a stage's settings; nothing where rows are something else than texts."""
    if layout == "prompts":
        return partial(_drawn, run)
    evaluation, rows = run.settings["evaluation"], run.rows(VALIDATION)
    is_asked = evaluation and layout == "documents" and (evaluation["metrics"] or evaluation["samples"])
    if not is_asked or rows is None:
        return lambda *_: {}
    tokenizer, folder = run.tokenizer(), Path(run.task.recipe_folder)
    asked = evaluation["answers"] if evaluation["metrics"] else evaluation["samples"]
    found = questions(rows, tokenizer, asked)
    if not found["input_ids"] and run.ranks.is_first:
        run.reporter.message("warning: no row to evaluate on asks anything, so that no answer is measured")
    return Answering(
        questions=found,
        tokenizer=tokenizer,
        batch_size=micro_batch(run.settings, run.task.world),
        max_new_tokens=evaluation["max_new_tokens"],
        metrics=answer_metrics(evaluation["metrics"], folder, run.task.content),
        samples=evaluation["samples"],
        file=run.samples,
        reporter=run.reporter,
        ranks=run.ranks,
    )


def _drawn(run: Run, trainer: Any, _: str) -> dict[str, float]:  # noqa: ANN401  TRL has no types
    """Keep what a model said that answers anyway; it is measured already."""
    samples = trainer.answers.taken()
    if run.ranks.is_first:
        run.samples.add(int(trainer.state.global_step), samples)
    return {}
