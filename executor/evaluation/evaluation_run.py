"""One evaluation, from a model and rows or tasks to metrics and the answers that they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from executor.evaluation.answer_metrics import OF_TOKENS, answer_metrics
from executor.evaluation.evaluating import Prediction, answer, negative_log_likelihood
from executor.evaluation.harness import TaskTerms, check_tasks, folder_digest, measure, write_samples
from executor.kinds.model import delivered
from executor.models.loading import is_beside_few_bits, load_as_trained, load_tokenizer
from executor.tokens.token_files import PROMPTS, TRAIN, read_columns
from executor.workers.software import gpus, hardware, versions
from executor.workers.task import Outcome, Task
from executor.workers.worker_reports import Reporter
from state.canonical import Plain, digest
from state.diagnostic import problem

PREDICTIONS, METRICS, SAMPLES = "predictions.jsonl", "metrics.json", "tasks"
"""A file of answers to the datasets' questions, one of all figures, and a folder with a file for each task."""


def run(task: Task, reporter: Reporter) -> Outcome:
    """Measure what the settings say, and keep every answer beside the question and the reference."""
    settings: Mapping[str, Any] = task.settings
    terms = TaskTerms.of(settings)
    manager = _checked_tasks(task, terms) if terms.names else None
    foundations = task.inputs["model"]
    model = load_as_trained(foundations, settings["dtype"], settings["attn_implementation"], Path(task.tune_folder))
    metrics, facts = dict[str, Plain](), dict[str, Plain]()
    if is_beside_few_bits(foundations):
        facts["base"] = "in few bits, as in training"
    if settings["metrics"]:
        metrics |= _on_datasets(task, model, reporter)
    if terms.names:
        reporter.message(f"measuring {', '.join(terms.names)}")
        found = measure(model, _templated_tokenizer(task, terms), terms, manager, Path(task.recipe_folder))
        write_samples(task.output_folder / SAMPLES, found.samples)
        metrics |= found.metrics
        facts["tasks"] = dict(found.versions)
    (task.output_folder / METRICS).write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    return Outcome(digest(metrics), metrics=metrics, facts=facts, versions=versions(), hardware=hardware(), gpus=gpus())


def _checked_tasks(task: Task, terms: TaskTerms) -> Any:  # noqa: ANN401  the harness's TaskManager
    folder = Path(task.recipe_folder)
    if terms.folder and folder_digest(folder / terms.folder) != task.content[terms.folder]:
        detail = f"`{terms.folder}` changed while it was being applied."
        raise problem("Input moved", detail, "Run `tune plan` again.")
    return check_tasks(terms, folder)


def _templated_tokenizer(task: Task, terms: TaskTerms) -> Any:  # noqa: ANN401  transformers has no types
    """The model's tokenizer, with the chat template that the recipe gives it."""
    tokenizer = load_tokenizer(task.inputs["model"])
    if terms.templated:
        about = task.inputs["model"][-1]
        tokenizer.chat_template = delivered(about, Path(task.recipe_folder))[1]
        if tokenizer.chat_template is None:
            detail = f"The tokenizer of {about.address} has no chat template, and `apply_chat_template` is set."
            raise problem("No chat template", detail, "Set `chat_template` of its model to a .jinja file.")
    return tokenizer


def _on_datasets(task: Task, model: Any, reporter: Reporter) -> dict[str, Plain]:  # noqa: ANN401  transformers
    settings: Mapping[str, Any] = task.settings
    tokens = Path(task.one("tokens").folder)
    metrics: dict[str, Plain] = {}
    wanted = settings["metrics"]
    asking = [one for one in wanted if one not in OF_TOKENS]
    if len(wanted) > len(asking):
        found = negative_log_likelihood(model, read_columns(tokens, TRAIN), settings["batch_size"], reporter)
        accuracy = found.pop("token_accuracy")
        metrics |= found if "perplexity" in wanted else {}
        metrics |= {"token_accuracy": accuracy} if "token_accuracy" in wanted else {}
    if asking:
        questions, tokenizer = read_columns(tokens, PROMPTS), load_tokenizer(task.inputs["model"])
        answers = answer(model, tokenizer, questions, settings["batch_size"], settings["max_new_tokens"], reporter)
        _write(task.output_folder / PREDICTIONS, answers)
        for metric in answer_metrics(asking, Path(task.recipe_folder), task.content):
            metrics |= metric(answers)
        metrics["answers"] = len(answers)
    return metrics


def _write(path: Path, predictions: Sequence[Prediction]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for one in predictions:
            row = {"question": one.question, "answer": one.answer, "reference": one.reference, "matches": one.matches}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
