"""`[train.NAME.evaluation]`: what is measured while a run trains, and what the run makes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from attrs import evolve

from executor.evaluation.answer_metrics import OF_DOCUMENTS, metric_faults, metric_name
from executor.evaluation.user_functions import user_functions
from executor.tokens.row_layout import RowLayout
from planner.effects import Effect, setting
from planner.limits import not_empty, not_negative, positive
from state.canonical import Plain
from state.values import frozen
from state.wording import suggestion

if TYPE_CHECKING:
    from executor.training.method import Fault
    from executor.training.stage import Stage
    from planner.kind import Resources

MEASURED = "it decides the weights only where early stopping or the best model goes by it"


PLAIN_TEXTS = ("completion", "pretrain")
"""Types of rows that are trained from their first token on, and ask nothing."""


def where_it_selects(settings: Mapping[str, Plain], _: Mapping[str, Plain]) -> Effect:
    """Evaluation leaves every bit of a run alone, unless the run ends by it or its best model is picked by it."""
    evaluation = settings.get("evaluation")
    if not isinstance(evaluation, Mapping):
        return Effect.RUNTIME
    selects = evaluation.get("early_stopping_patience") or evaluation.get("load_best_model_at_end")
    return Effect.REBUILD if selects else Effect.RUNTIME


@frozen
class Evaluation:
    """How often is measured, on the rows of `val_set_size` or of `test_datasets`, and what follows from it."""

    eval_steps: int = setting(100, effect=where_it_selects, why=MEASURED, validator=positive)
    evals_per_epoch: int = setting(0, effect=where_it_selects, why=MEASURED, validator=not_negative)
    """0: as eval_steps says."""
    metrics: tuple[str, ...] = setting((), effect=where_it_selects, why=MEASURED)
    """Of answers that the model gives: exact_match, f1, bleu, rouge1, rouge2, rougeL, or `FILE.py:FUNCTION`."""
    answers: int = setting(64, effect=where_it_selects, why=MEASURED, validator=positive)
    """How many rows are answered for these metrics, from the first."""
    max_new_tokens: int = setting(128, effect=where_it_selects, why=MEASURED, validator=positive)
    samples: int = setting(0, effect=where_it_selects, why=MEASURED, validator=not_negative)
    """How many of the answers are kept to look at."""
    early_stopping_patience: int = setting(0, effect=where_it_selects, why=MEASURED, validator=not_negative)
    """Evaluations in a row without a better metric after which the run ends; 0: it never ends early."""
    early_stopping_threshold: float = setting(0.0, effect=where_it_selects, why=MEASURED, validator=not_negative)
    """By how much a metric must be better to count."""
    load_best_model_at_end: bool = setting(default=False, effect=where_it_selects, why=MEASURED)
    """Whether the weights of the best evaluation are kept, instead of the last ones."""
    metric_for_best_model: str = setting("loss", effect=where_it_selects, why=MEASURED, validator=not_empty)
    """What early stopping and the best model go by."""
    greater_is_better: bool | Literal["auto"] = setting("auto", effect=where_it_selects, why=MEASURED)
    """ "auto": for all metrics but losses and perplexity."""


def resolved(evaluation: Evaluation | None) -> Evaluation | None:
    """The fields with what "auto" comes to, so that spelling it out changes nothing."""
    if evaluation is None:
        return None
    from executor.evaluation.selection import is_greater_better

    greater = is_greater_better(evaluation.metric_for_best_model, evaluation.greater_is_better)
    return evolve(evaluation, greater_is_better=greater)


def evaluation_faults(stage: Stage, layout: RowLayout, places: Collection[str]) -> Iterator[Fault]:
    """What is wrong with what a stage says of its evaluation; `places` are the fields that were written."""
    if stage.test_datasets and stage.val_set_size:
        yield (
            "test_datasets",
            "`val_set_size` is set too",
            "Remove one of them: rows to evaluate on come from one place.",
        )
    evaluation = stage.evaluation
    if evaluation is None:
        return
    if not (stage.val_set_size or stage.test_datasets):
        yield "evaluation", "there are no rows to evaluate on", "Set `val_set_size`, for instance to 0.05."
    if evaluation.evals_per_epoch and "evaluation.eval_steps" in places:
        yield "evaluation.evals_per_epoch", "`eval_steps` is set too", "Remove one of them."
    for detail, hint in metric_faults(evaluation.metrics):
        yield "evaluation.metrics", detail, hint
    if layout == "documents":
        yield from _selection_faults(evaluation)
    elif evaluation.metrics or (evaluation.samples and layout != "prompts"):
        path = "evaluation.metrics" if evaluation.metrics else "evaluation.samples"
        yield path, "only what trains on documents gives answers to measure while it trains", "Use an `eval` resource."


def answer_faults(stage: Stage, resources: Resources) -> Iterator[Fault]:
    """Answers that are asked for by rows of which none asks anything."""
    evaluation, addresses = stage.evaluation, stage.test_datasets or stage.datasets
    if evaluation is None or not (evaluation.metrics or evaluation.samples):
        return
    if all(resources[one].specification.type in PLAIN_TEXTS for one in addresses):
        path = "evaluation.metrics" if evaluation.metrics else "evaluation.samples"
        yield path, f"{addresses[0]} holds plain texts, which ask nothing", "Go by `loss` or `perplexity` there."


def _selection_faults(evaluation: Evaluation) -> Iterator[Fault]:
    known = [*OF_DOCUMENTS, *map(metric_name, evaluation.metrics)]
    wanted = evaluation.metric_for_best_model
    # A function of the user's own may measure several things, whose names nobody knows before.
    if wanted not in known and not user_functions(evaluation.metrics):
        hint = suggestion(wanted, known) or f"It measures {', '.join(known)}."
        yield "evaluation.metric_for_best_model", f"the evaluation does not measure `{wanted}`", hint
