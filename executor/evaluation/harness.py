"""Tasks of lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness), where it is installed."""

from __future__ import annotations

import json
import os
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from state.canonical import Plain, digest
from state.diagnostic import Diagnostic, ProblemError, problem
from state.files import digest_file
from state.values import frozen
from state.wording import stopped, suggestion

LIBRARY = "lm_eval"
COMMAND = "pip install lm-eval"
PLAIN_FILTER = "none"
"""What the harness calls answers that are taken as they are; other filters stay part of a metric's name."""


@frozen
class TaskTerms:
    """Which tasks are measured, and how."""

    names: Sequence[str]
    folder: str
    """A folder of tasks of the user's own, relative to the recipe; "" for none."""
    few_shot: int | None
    """Solved examples before each question; None for as many as a task says."""
    limit: int | None
    """How many rows of each task are asked; None for all."""
    batch_size: int
    templated: bool
    """Whether questions are put into the model's chat template."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TaskTerms:
        """Those of an evaluation's settings."""
        shots = settings["num_fewshot"]
        return cls(
            names=settings["tasks"],
            folder=settings["task_folder"],
            few_shot=None if shots == "auto" else shots,
            limit=settings["limit"] or None,
            batch_size=settings["batch_size"],
            templated=settings["apply_chat_template"],
        )


@frozen
class TaskResults:
    """What tasks measured."""

    metrics: Mapping[str, Plain]
    """Values by `TASK/METRIC`, such as `arc_easy/acc`, of groups and of the tasks in them."""
    versions: Mapping[str, Plain]
    """The version of each task's definition."""
    samples: Mapping[str, Sequence[Mapping[str, Any]]]
    """For each task, its rows with question, answer and verdict."""


def lacking_harness(address: str) -> tuple[Diagnostic, ...]:
    """What is said where tasks are asked for and the harness is not installed; nothing where it is."""
    if find_spec(LIBRARY) is not None:
        return ()
    detail = f"{address} measures tasks of lm-evaluation-harness, which is not installed."
    return (Diagnostic("Missing library", detail, f"Install it: `{COMMAND}`."),)


def folder_digest(folder: Path) -> str:
    """One digest of all files below a folder of tasks, by their relative paths; what Python compiled is no part."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return digest({path.relative_to(folder).as_posix(): digest_file(path) for path in files})


def check_tasks(terms: TaskTerms, recipe_folder: Path) -> Any:  # noqa: ANN401  the harness's TaskManager
    """The harness's tasks and those of the user's own; a problem for names that are not among them."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(recipe_folder / terms.folder) if terms.folder else None)
    unknown = [one for one in terms.names if one not in manager.all_tasks]
    if unknown:
        detail = f"lm-evaluation-harness knows no task `{unknown[0]}`."
        hint = suggestion(unknown[0], list(manager.all_tasks)) or "`lm-eval ls tasks` lists them."
        raise problem("Unknown task", detail, hint)
    return manager


def measure(
    model: Any,  # noqa: ANN401  transformers has no types
    tokenizer: Any,  # noqa: ANN401  as above
    terms: TaskTerms,
    manager: Any,  # noqa: ANN401  the harness's TaskManager
    recipe_folder: Path,
) -> TaskResults:
    """Let the harness ask a model that is loaded. Paths in tasks are read against the recipe's folder.

    Raises a problem, with the harness's own words, if a task cannot be read or fails.
    """
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    try:
        with _reading_from(recipe_folder, fresh=bool(terms.folder)):
            found: Any = simple_evaluate(
                HFLM(pretrained=model, tokenizer=tokenizer, batch_size=terms.batch_size),
                tasks=list(terms.names),
                task_manager=manager,
                num_fewshot=terms.few_shot,
                limit=terms.limit,
                apply_chat_template=terms.templated,
            )
    except Exception as error:
        traceback.print_exc()
        raise _failed(terms, error) from error
    return TaskResults(
        metrics={
            f"{task}/{name}": value
            for task, values in {**found["results"], **found.get("groups", {})}.items()
            for name, value in _metrics(values)
        },
        versions={task: str(version) for task, version in found["versions"].items()},
        samples=found["samples"],
    )


def write_samples(folder: Path, samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Keep the rows of each task in a file of its own, `TASK.jsonl`."""
    folder.mkdir()
    for task, rows in samples.items():
        lines = (json.dumps(row, ensure_ascii=False, sort_keys=True, default=str) for row in rows)
        (folder / f"{task.replace('/', '_')}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextmanager
def _reading_from(folder: Path, *, fresh: bool) -> Iterator[None]:
    """Resolve relative paths against a folder.

    `fresh`: prepare datasets anew. What `datasets` keeps of a local file it knows again by path and time, which may be
    those of other rows.
    """
    import datasets

    before, cache = Path.cwd(), datasets.config.HF_DATASETS_CACHE
    os.chdir(folder)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            datasets.config.HF_DATASETS_CACHE = Path(scratch) if fresh else cache
            yield
    finally:
        os.chdir(before)
        datasets.config.HF_DATASETS_CACHE = cache


def _metrics(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers among a task's results; the harness names them `METRIC,FILTER`."""
    for key, value in values.items():
        name, comma, kind = key.partition(",")
        if comma and isinstance(value, int | float):
            yield name if kind == PLAIN_FILTER else key, float(value)


def _failed(terms: TaskTerms, error: Exception) -> ProblemError:
    said = stopped(str(error).strip().partition("\n")[0])
    detail = f"{', '.join(terms.names)} ended with {type(error).__name__}: {said}"
    hint = "The step's log has the whole of it. Tasks fetch rows from the hub, unless they name files of yours."
    return problem("Task failed", detail, hint)
