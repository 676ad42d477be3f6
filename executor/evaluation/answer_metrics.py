"""Metrics of answers, by the names that recipes use: those that are built in, and functions of the user's own."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from executor.evaluation.evaluating import Prediction
from executor.evaluation.text_metrics import METRICS
from executor.evaluation.user_functions import calling, load_function, user_function
from state.diagnostic import problem
from state.wording import suggestion

Metric: TypeAlias = Callable[[Sequence[Prediction]], Mapping[str, float]]
"""Answers with their questions and references -> values by name."""
OF_TOKENS = ("perplexity", "token_accuracy")
"""Metrics of the tokens of the references; for all others the model has to answer."""
EXACT_MATCH = "exact_match"
BUILT_IN = (EXACT_MATCH, *METRICS)
OF_DOCUMENTS = ("loss", "perplexity", "mean_token_accuracy", "entropy")
"""What a run measures of documents without an answer; it may choose its best model by it."""
_CALLED = "It is called with a list of answers and a list of references, and returns a number, or a dict of them."


def metric_name(text: str) -> str:
    """What a metric is called where its value is kept."""
    own = user_function(text)
    return own.name if own is not None else text


def named_twice(texts: Sequence[str]) -> Iterator[str]:
    """The names under which several functions of a list would keep their values."""
    names = [metric_name(one) for one in texts]
    yield from dict.fromkeys(one for one in names if names.count(one) > 1)


def metric_faults(names: Sequence[str], others: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Names that are neither built in nor functions, or stand for several; `others` could be meant too."""
    known_names = [*others, *BUILT_IN]
    for one in names:
        if one not in BUILT_IN and user_function(one) is None:
            hint = suggestion(one, known_names)
            known = f"Known: {', '.join(known_names)}; your own are named `FILE.py:FUNCTION`."
            yield f"there is no metric `{one}`", hint or known
    for name in named_twice(names):
        yield f"several metrics are called `{name}`, and only one could be kept", "Give each a name of its own."


def answer_metrics(names: Sequence[str], folder: Path, planned: Mapping[str, str]) -> list[Metric]:
    """The metrics of a recipe; functions of the user's own are loaded from its folder."""
    return [_metric(one, folder, planned) for one in names]


def _metric(text: str, folder: Path, planned: Mapping[str, str]) -> Metric:
    own = user_function(text)
    if own is not None:
        return _guarded(text, own.name, load_function(own, folder, planned))
    if text == EXACT_MATCH:
        return lambda given: {EXACT_MATCH: sum(one.matches for one in given) / len(given)}
    return lambda given: {text: METRICS[text]([(one.answer, one.reference) for one in given])}


def _guarded(text: str, name: str, function: Callable[..., Any]) -> Metric:
    """A function of the user's own: it takes answers and references, and returns a number or numbers by name.

    One with a parameter `questions`, such as a model that judges, is given these too.
    """

    def measure(given: Sequence[Prediction]) -> Mapping[str, float]:
        with calling(text, "Metric failed", _CALLED):
            asked = {"questions": [one.question for one in given]} if _wants_questions(function) else {}
            found = function([one.answer for one in given], [one.reference for one in given], **asked)
            values = found if isinstance(found, Mapping) else {name: found}
            figures = {str(one): float(value) for one, value in values.items()}
        _refuse(text, figures)
        return figures

    return measure


def _refuse(text: str, figures: Mapping[str, float]) -> None:
    """Figures that no record can hold, or that would take the place of others."""
    for name, value in figures.items():
        if not math.isfinite(value):
            hint = "Return a number, also where there is nothing to measure."
            raise problem("Metric failed", f"`{text}` gave {value} for `{name}`.", hint)
        if name in (*OF_DOCUMENTS, *OF_TOKENS):
            detail = f"`{text}` gave a figure called `{name}`, which is measured already."
            raise problem("Metric failed", detail, "Give it another name.")


def _wants_questions(function: Callable[..., Any]) -> bool:
    return "questions" in inspect.signature(function).parameters
