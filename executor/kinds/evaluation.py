"""`[eval.NAME]`: a model measured on rows that it was not trained on, and a gate that it must pass."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import Factory

from executor import formats
from executor.applying.probe import Surroundings
from executor.data.examples import TRAINED_ALONE
from executor.evaluation import gates
from executor.evaluation.answer_metrics import answer_metrics, metric_faults
from executor.evaluation.user_functions import function_digests, function_faults, user_functions
from executor.kinds.tokens import KIND as TOKENS
from executor.kinds.tokens import Tokens, made_before
from executor.models.lineage import model_sources, root_model, scoring_run, trained_on
from executor.sources.detection import may_be_chats
from executor.workers.software import gpus, hardware, versions
from planner.effects import Effect, reference, setting, upstream_fields
from planner.kind import Kind, Probe, Resource, Resources, Source
from planner.limits import not_empty, positive
from state.canonical import Plain, digest
from state.diagnostic import Diagnostic
from state.values import frozen
from state.wording import suggestion

if TYPE_CHECKING:
    from executor.evaluation.evaluating import Prediction
    from executor.workers.task import Outcome, Task
    from executor.workers.worker_reports import Reporter

CODE = 1
OF_TOKENS = ("perplexity", "token_accuracy")
"""Metrics of the tokens of the references; for all others the model has to answer."""
PREDICTIONS = "predictions.jsonl"
_MEASURED = "the measurement is another"


@frozen
class Evaluation:
    """The fields of an evaluation."""

    model: str = reference("model", "train", "merge")
    datasets: tuple[str, ...] = reference("dataset")
    metrics: tuple[str, ...] = setting(effect=Effect.REBUILD, why=_MEASURED, validator=not_empty)
    """perplexity, token_accuracy, exact_match, f1, bleu, rouge1, rouge2, rougeL, or `FILE.py:FUNCTION` of your own."""
    sequence_len: int = setting(2048, effect=Effect.UPSTREAM, why="it decides the tokens", validator=positive)
    roles_to_train: tuple[str, ...] = setting(("assistant",), effect=Effect.UPSTREAM, why="it decides the labels")
    """Whose tokens perplexity is measured on."""
    max_new_tokens: int = setting(256, effect=Effect.REBUILD, why=_MEASURED, validator=positive)
    batch_size: int = setting(
        16, effect=Effect.NUMERICS, why="the same answers, padded differently", validator=positive
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting("auto", effect=Effect.REBUILD, why=_MEASURED)
    """ "auto": the one that the weights are stored in."""
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] = setting(
        "sdpa", effect=Effect.NUMERICS, why="the same attention, rounded differently"
    )
    gate: dict[str, Plain] = setting(Factory(dict), effect=Effect.METADATA, why="the metrics stay, the verdict changes")
    """A condition for each metric: `">= 0.85"`, or `">= last - 0.01"` against the last value that passed."""
    description: str = setting("", effect=Effect.METADATA, why="it is a note")


def check(resource: Resource, resources: Resources) -> tuple[Diagnostic, ...]:
    """What is wrong with the fields together."""
    return tuple(
        Diagnostic("Contradicting fields", f"{resource.address}.{path}: {detail}.", hint, resource.place(path))
        for path, detail, hint in _faults(resource.specification, resources)
    )


def _faults(evaluation: Evaluation, resources: Resources) -> Iterator[tuple[str, str, str]]:
    asking = _of_answers(evaluation.metrics)
    if scoring := scoring_run(evaluation.model, resources):
        yield "model", f"{scoring} yields a model that scores texts, and cannot go on with them", "Name another model."
    for address in evaluation.datasets:
        dataset = resources[address].specification
        if dataset.type and not formats.yields(dataset.type, TRAINED_ALONE):
            hint = f"It measures on {', '.join(formats.yielding(TRAINED_ALONE))}."
            yield "datasets", f"{address} is of the type {dataset.type}, which has no answers to measure on", hint
        elif asking and not may_be_chats(dataset):
            yield "datasets", f"{asking[0]} needs chats, and {address} holds plain texts", "Use perplexity there."
    for detail, hint in metric_faults(asking, OF_TOKENS):
        yield "metrics", detail, hint
    own = user_functions(evaluation.metrics)
    for name, condition in evaluation.gate.items():
        path = f"gate.{name}"
        # What a function of the user's own returns, and under which names, shows when it runs.
        if name not in evaluation.metrics and not own:
            known = list(evaluation.metrics)
            hint = suggestion(name, known) or f"It measures {', '.join(known)}."
            yield path, "it is not among the metrics of this evaluation", hint
        if not isinstance(condition, str) or gates.parse(condition) is None:
            yield path, f"expected a condition, got {condition!r}", 'For instance ">= 0.85" or ">= last - 0.01".'


def derive(resource: Resource, resources: Resources) -> tuple[Resource, ...]:
    """The tokens that this evaluation reads."""
    evaluation: Evaluation = resource.specification
    tokens = Tokens(
        datasets=evaluation.datasets,
        model=root_model(evaluation.model, resources),
        sequence_len=evaluation.sequence_len,
        excess_length_strategy="error",
        roles_to_train=evaluation.roles_to_train,
        prompts=bool(_of_answers(evaluation.metrics)),
    )
    return (Resource(_tokens_of(resource), TOKENS, tokens, resource.places, resource.address),)


def _tokens_of(resource: Resource) -> str:
    """The address of the tokens that this evaluation reads; whether it needs prompts follows from its metrics."""
    return f"tokens.eval.{resource.name_by((*upstream_fields(resource.specification.__class__), 'metrics'))}"


def inputs(resource: Resource, resources: Resources) -> Mapping[str, tuple[Source, ...]]:
    """What is measured, and on what."""
    return {
        "model": model_sources(resource.specification.model, resources),
        "tokens": (Source(_tokens_of(resource)),),
    }


def probe(resource: Resource, surroundings: Surroundings) -> Probe:
    """Warn of rows that the model is trained on, unless state has the tokens of all of them already."""
    resources = surroundings.resources
    trained = trained_on(resource.specification.model, resources)
    tokens = resources[_tokens_of(resource)]
    runs = [resources[one] for one in trained]
    training = [resources[one.kind.inputs(one, resources)["tokens"][0].address] for one in runs]
    own = user_functions(resource.specification.metrics)
    content, faults = function_digests(own, surroundings.folder), tuple(_function_faults(resource, surroundings))
    if all(made_before(one, surroundings) for one in (tokens, *training)):
        return Probe(content, diagnostics=faults)
    from executor.tokens.row_sample import overlaps

    return Probe(content, diagnostics=(*faults, *overlaps(tokens, training, surroundings)))


def _function_faults(resource: Resource, surroundings: Surroundings) -> Iterator[Diagnostic]:
    for what, hint in function_faults(user_functions(resource.specification.metrics), surroundings.folder):
        place = resource.place("metrics")
        yield Diagnostic("Contradicting fields", f"{resource.address}.metrics: {what}.", hint, place)


def build(task: Task, reporter: Reporter) -> Outcome:
    """Measure, and keep every answer beside the question and the reference."""
    from executor.evaluation.evaluating import answer, negative_log_likelihood
    from executor.models.loading import has_gpu, load_model, load_tokenizer
    from executor.tokens.token_files import PROMPTS, TRAIN, read_columns
    from executor.workers.task import Outcome

    settings: Mapping[str, Any] = task.settings
    model = load_model(task.inputs["model"], settings["dtype"], settings["attn_implementation"]).eval()
    model = model.to("cuda") if has_gpu() else model
    tokenizer = load_tokenizer(task.inputs["model"])
    tokens = Path(task.one("tokens").folder)
    metrics: dict[str, Plain] = {}
    wanted = settings["metrics"]
    if len(wanted) > len(_of_answers(wanted)):
        found = negative_log_likelihood(model, read_columns(tokens / TRAIN), settings["batch_size"], reporter)
        accuracy = found.pop("token_accuracy")
        metrics |= found if "perplexity" in wanted else {}
        metrics |= {"token_accuracy": accuracy} if "token_accuracy" in wanted else {}
    if _of_answers(wanted):
        questions = read_columns(tokens / PROMPTS)
        answers = answer(model, tokenizer, questions, settings["batch_size"], settings["max_new_tokens"], reporter)
        _write(task.output_folder / PREDICTIONS, answers)
        folder = Path(task.recipe_folder)
        for metric in answer_metrics(_of_answers(wanted), folder, task.content):
            metrics |= metric(answers)
        metrics["answers"] = len(answers)
    (task.output_folder / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    outcome = digest(metrics)
    return Outcome(outcome, metrics=metrics, versions=versions(), hardware=hardware(), gpus=gpus())


def _of_answers(metrics: Sequence[str]) -> list[str]:
    return [one for one in metrics if one not in OF_TOKENS]


def _write(path: Path, predictions: list[Prediction]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for one in predictions:
            row = {"question": one.question, "answer": one.answer, "reference": one.reference, "matches": one.matches}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


KIND = Kind(
    name="eval",
    specifications={"": Evaluation},
    code=CODE,
    verb="re-evaluate",
    inputs=inputs,
    derive=derive,
    check=check,
    probe=probe,
    judge=gates.judge,
    compares=True,
    build=build,
)
