"""`[eval.NAME]`: a model measured on rows that it was not trained on, and a gate that it must pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import attrs
from attrs import Factory

from executor import formats
from executor.applying.probe import Surroundings
from executor.data.examples import TRAINED_ALONE
from executor.evaluation import gates
from executor.evaluation.answer_metrics import OF_TOKENS, metric_faults
from executor.evaluation.user_functions import function_digests, function_faults, user_functions
from executor.kinds.tokens import Tokens, made_before, tokens_for
from executor.models.lineage import model_sources, root_model, scoring_run, trained_on
from executor.sources.detection import may_be_chats
from planner.effects import Effect, reference, setting, upstream_fields
from planner.kind import Kind, Probe, Resource, Resources, Source
from planner.limits import not_negative, positive, tags
from state.canonical import Plain
from state.diagnostic import Diagnostic
from state.values import frozen
from state.wording import suggestion

if TYPE_CHECKING:
    from executor.workers.task import Outcome, Task
    from executor.workers.worker_reports import Reporter

CODE = 2
_MEASURED = "the measurement is another"


@frozen
class Evaluation:
    """The fields of an evaluation."""

    model: str = reference("model", "train", "merge")
    datasets: tuple[str, ...] = reference("dataset", default=())
    metrics: tuple[str, ...] = setting((), effect=Effect.REBUILD, why=_MEASURED)
    """perplexity, token_accuracy, exact_match, f1, bleu, rouge1, rouge2, rougeL, or `FILE.py:FUNCTION` of your own."""
    tasks: tuple[str, ...] = setting((), effect=Effect.REBUILD, why=_MEASURED)
    """Tasks of lm-evaluation-harness (`pip install lm-eval`), as "arc_easy"; their metrics are `TASK/METRIC`."""
    task_folder: str = setting("", effect=Effect.REBUILD, why=_MEASURED)
    """A folder with tasks of your own, in the harness's form; all that lies in it is identity."""
    num_fewshot: int | Literal["auto"] = setting("auto", effect=Effect.REBUILD, why=_MEASURED, validator=not_negative)
    """Solved examples before each question of a task; "auto": as many as the task says."""
    limit: int = setting(0, effect=Effect.REBUILD, why=_MEASURED, validator=not_negative)
    """The first so many rows of each task only; 0: all."""
    apply_chat_template: bool = setting(default=False, effect=Effect.REBUILD, why=_MEASURED)
    """Whether questions of tasks are put into the model's chat template; published figures are mostly without."""
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
    tags: tuple[str, ...] = setting((), effect=Effect.METADATA, why="they are notes", validator=tags)
    """What to find it by, with `tune state list --tag`; a model's card and a bill of materials have them, too."""


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
    yield from _nothing_to_do(evaluation)
    yield from _gate_faults(evaluation)


def _nothing_to_do(evaluation: Evaluation) -> Iterator[tuple[str, str, str]]:
    """Fields that would do nothing as the others are."""
    if not evaluation.metrics and not evaluation.tasks:
        yield "metrics", "there is nothing to measure", "Name metrics and datasets, or tasks of lm-evaluation-harness."
    elif evaluation.metrics and not evaluation.datasets:
        yield "datasets", "metrics are measured on rows, and there are none", "Name datasets."
    elif evaluation.datasets and not evaluation.metrics:
        yield "metrics", "nothing is measured on the datasets; tasks bring rows of their own", "Name metrics."
    if not evaluation.tasks:
        fields = attrs.fields_dict(Evaluation)
        for name in ("task_folder", "num_fewshot", "limit", "apply_chat_template"):
            if getattr(evaluation, name) != fields[name].default:
                yield name, "it has no meaning without `tasks`", "Name tasks, or remove it."


def _gate_faults(evaluation: Evaluation) -> Iterator[tuple[str, str, str]]:
    own = user_functions(evaluation.metrics)
    for name, condition in evaluation.gate.items():
        path = f"gate.{name}"
        # What a function of the user's own returns, and which tasks a group has, shows when they run.
        of_task = bool(evaluation.tasks) and "/" in name
        if name not in evaluation.metrics and not own and not of_task:
            known = list(evaluation.metrics)
            said = "; ".join([*([", ".join(known)] if known else []), *(f"{one}/…" for one in evaluation.tasks)])
            hint = suggestion(name, known) or f"It measures {said}."
            yield path, "it is not among the metrics of this evaluation", hint
        if not isinstance(condition, str) or gates.parse(condition) is None:
            yield path, f"expected a condition, got {condition!r}", 'For instance ">= 0.85" or ">= last - 0.01".'


def derive(resource: Resource, resources: Resources) -> tuple[Resource, ...]:
    """The tokens that this evaluation reads; none where tasks bring rows of their own."""
    evaluation: Evaluation = resource.specification
    if not evaluation.datasets:
        return ()
    tokens = Tokens(
        datasets=evaluation.datasets,
        model=root_model(evaluation.model, resources),
        sequence_len=evaluation.sequence_len,
        excess_length_strategy="error",
        roles_to_train=evaluation.roles_to_train,
        prompts=bool(_of_answers(evaluation.metrics)),
    )
    return (tokens_for(resource, _tokens_of(resource), tokens),)


def _tokens_of(resource: Resource) -> str:
    """The address of the tokens that this evaluation reads; whether it needs prompts follows from its metrics."""
    return f"tokens.eval.{resource.name_by((*upstream_fields(resource.specification.__class__), 'metrics'))}"


def _of_answers(metrics: Sequence[str]) -> list[str]:
    return [one for one in metrics if one not in OF_TOKENS]


def inputs(resource: Resource, resources: Resources) -> Mapping[str, tuple[Source, ...]]:
    """What is measured, and on what."""
    tokens = {"tokens": (Source(_tokens_of(resource)),)} if resource.specification.datasets else {}
    return {"model": model_sources(resource.specification.model, resources), **tokens}


def probe(resource: Resource, surroundings: Surroundings) -> Probe:
    """The bytes of the user's own files; a warning of rows that the model is trained on."""
    evaluation: Evaluation = resource.specification
    content = function_digests(user_functions(evaluation.metrics), surroundings.folder)
    tasks = surroundings.folder / evaluation.task_folder
    if evaluation.task_folder and tasks.is_dir():
        from executor.evaluation.harness import folder_digest

        content |= {evaluation.task_folder: folder_digest(tasks)}
    faults = [*_file_faults(resource, surroundings), *_overlaps(resource, surroundings)]
    return Probe(content, diagnostics=tuple(faults))


def _overlaps(resource: Resource, surroundings: Surroundings) -> Iterable[Diagnostic]:
    """Warnings of rows that the model is trained on, unless state has the tokens of all of them already."""
    if not resource.specification.datasets:
        return ()
    resources = surroundings.resources
    tokens = resources[_tokens_of(resource)]
    runs = [resources[one] for one in trained_on(resource.specification.model, resources)]
    training = [resources[one.kind.inputs(one, resources)["tokens"][0].address] for one in runs]
    if all(made_before(one, surroundings) for one in (tokens, *training)):
        return ()
    from executor.tokens.row_sample import overlaps

    return overlaps(tokens, training, surroundings)


def _file_faults(resource: Resource, surroundings: Surroundings) -> Iterator[Diagnostic]:
    found = [("metrics", *one) for one in _function_faults(resource.specification, surroundings)]
    folder = resource.specification.task_folder
    if folder and not (surroundings.folder / folder).is_dir():
        found.append(("task_folder", f"`{folder}` is no folder", "Paths are read from the recipe's folder."))
    for field, what, hint in found:
        place = resource.place(field)
        yield Diagnostic("Contradicting fields", f"{resource.address}.{field}: {what}.", hint, place)


def _function_faults(evaluation: Evaluation, surroundings: Surroundings) -> Iterator[tuple[str, str]]:
    return function_faults(user_functions(evaluation.metrics), surroundings.folder)


def lacks(address: str, settings: Mapping[str, Plain]) -> tuple[Diagnostic, ...]:
    """Whether lm-evaluation-harness is missing and needed."""
    from executor.evaluation.harness import lacking_harness

    return lacking_harness(address) if settings["tasks"] else ()


def build(task: Task, reporter: Reporter) -> Outcome:
    """Measure, and keep every answer beside the question and the reference."""
    from executor.evaluation.evaluation_run import run

    return run(task, reporter)


KIND = Kind(
    name="eval",
    specifications={"": Evaluation},
    code=CODE,
    verb="re-evaluate",
    inputs=inputs,
    derive=derive,
    check=check,
    probe=probe,
    lacks=lacks,
    judge=gates.judge,
    compares=True,
    libraries=("torch", "transformers.generation.utils"),
    build=build,
)
