"""One training run from its task: what every method needs before and after its trainer does the work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from executor.evaluation.answering import answering_of
from executor.evaluation.metrics_file import NAME as METRICS
from executor.evaluation.metrics_file import MetricsFile
from executor.evaluation.selection import chosen_facts, evaluation_at
from executor.kinds.model import delivered
from executor.models import adapted_modules, dropout_rates, lora, model_files
from executor.models.adapter_fields import ALL_LINEAR
from executor.models.sharded_checkpoint import is_sharded, load
from executor.models.trained_rows import prove_trained
from executor.models.trust import carried
from executor.tokens.token_files import VALIDATION
from executor.training import cross_entropy, determinism, dropout, filling, learning, positions, strategies
from executor.training.best_model import best_folder
from executor.training.callbacks import Callbacks, RunIsOverError, callbacks, telling
from executor.training.end_of_run import copy_weights, end_at, is_end, mean_loss, trainer_state, was_not_evaluated
from executor.training.evaluation_hook import attach
from executor.training.forewarnings import forewarnings
from executor.training.method import Method
from executor.training.row_workers import Unstopped
from executor.training.starting_point import prepare
from executor.training.trackers import set_environment
from executor.training.training_run import Run
from executor.training.weights import save_weights
from executor.workers import software
from executor.workers.ranks import join
from executor.workers.task import Outcome, Task
from executor.workers.worker_reports import Reporter, StopRequestedError
from executor.workers.world import micro_batch
from state import artifacts
from state.canonical import Plain


def train(method: Method, task: Task, reporter: Reporter) -> Outcome:
    """Train, or continue, or take a checkpoint that is already the desired result; then write a plain model folder.

    All ranks of the task's world must call it; the first one alone writes, and has an outcome.
    """
    if task.settings["deterministic"]:
        determinism.enforce()
    run = Run(task, reporter, join(task.world))
    total = run.schedule().total_steps
    checkpoint = Path(task.tune_folder) / task.resume_from.folder if task.resume_from is not None else None
    metrics_file = MetricsFile(Path(task.checkpoints) / METRICS)
    if run.ranks.is_first:
        prepare(task, checkpoint, (metrics_file, run.samples))
    run.ranks.wait_for_all()
    if checkpoint is not None and is_end(checkpoint, total, run):
        metrics, facts = _take_checkpoint(method, checkpoint, run)
        if run.ranks.is_first and lora.is_converted(run.settings["adapter"]):
            _give_back(run, _prepared(method.train(run), run))
    else:
        metrics, facts = _train(method, run, total, metrics_file)
    run.ranks.end()
    if not run.ranks.is_first:
        return Outcome(output_digest="", has_artifact=False)
    for file in (metrics_file, run.samples):
        file.move_to(task.output_folder)
    artifacts.remove(best_folder(task))
    _allow_cache(task)
    model_files.copy_tokenizer(*delivered(task.inputs["model"][0], Path(task.recipe_folder)), task.output_folder)
    return Outcome(
        output_digest=model_files.identity(task.output_folder),
        metrics=metrics,
        facts={"steps": total, **facts, **carried(task.inputs["model"]), **_circumstances(task)},
        versions=software.versions(),
        hardware=software.hardware(),
        gpus=task.world.size if software.gpus() else 0,
    )


def _trainer(method: Method, run: Run) -> Any:  # noqa: ANN401  transformers has no types
    """The method's trainer, proved to train as the recipe says."""
    world = run.task.world
    loading = strategies.shared_out(run.settings, world)
    trainer = method.train(run)
    del loading
    strategies.prove(trainer, world)
    prove_trained(trainer.model, trainer.processing_class, run.task.inputs["model"])
    adapted_modules.prove(trainer.model, run.settings["adapter"])
    positions.prove(trainer.model.config.to_dict(), run.task)
    trainer.data_collator = Unstopped(trainer.data_collator)
    if run.lacking_rows and filling.can_fill(trainer.train_dataset):
        filling.fill(trainer, len(trainer.train_dataset) - 1, micro_batch(run.settings, world) * world.size)
    for text in forewarnings(method.layout, run):
        run.reporter.message(text)
    return trainer


def _circumstances(task: Task) -> dict[str, Plain]:
    """What decides about bits and not about identity: where the run went on from, in which parts, and how."""
    resumed = task.resume_from.step if task.resume_from else 0
    facts: dict[str, Plain] = {
        "resumed_from": resumed,
        "deterministic": task.settings["deterministic"],
        "strategy": task.world.strategy,
        "world_size": task.world.size,
    }
    return facts | (
        {"micro_batch_size": micro_batch(task.settings, task.world)} if task.settings["auto_micro_batch"] else {}
    )


def _train(
    method: Method, run: Run, total: int, metrics_file: MetricsFile
) -> tuple[dict[str, Plain], dict[str, Plain]]:
    task = run.task
    set_environment(task, run.settings["logging"])
    trainer = _trainer(method, run)
    start = _prepared(trainer, run)
    attach(trainer, method.layout, answering_of(run, method.layout))
    save = partial(save_weights, trainer, run.ranks)
    following = callbacks(run.task, run.reporter, run.ranks, metrics_file, run.samples, save)
    for callback in following.all:
        trainer.add_callback(callback)
    resume = Path(task.tune_folder) / task.resume_from.folder if task.resume_from else None
    if resume is not None:
        trainer.args.eval_on_start = was_not_evaluated(resume, run)
    try:
        _run_trainer(trainer, following, resume)
    except StopRequestedError:
        run.ranks.end()
        raise
    except RunIsOverError:
        ended = end_at(cast("Path", resume), run, trainer.state.log_history)
        _give_back(run, start)
        return ended
    finally:
        metrics_file.write()
    metrics: dict[str, Plain] = {
        "train_loss": mean_loss(trainer.state.log_history),
        "steps": int(trainer.state.global_step),
    }
    metrics |= following.progress.last_loss()
    chosen = chosen_facts(run.settings, trainer.state.log_history, total)
    if "best_step" in chosen:
        copy_weights(best_folder(task), run)
        metrics |= evaluation_at(cast("int", chosen["best_step"]), trainer.state.log_history)
    else:
        if run.rows(VALIDATION) is not None:
            metrics |= _evaluated_in_the_end(trainer)
        save(task.output_folder)
    _give_back(run, start)
    warnings = following.guarding.given()
    return metrics, {**_facts(trainer.model, run), **chosen, **({"warnings": warnings} if warnings else {})}


def _evaluated_in_the_end(trainer: Any) -> dict[str, Plain]:  # noqa: ANN401  transformers has no types
    """What is measured after the last step, unless that was a step with an evaluation anyway."""
    step = int(trainer.state.global_step)
    if not evaluation_at(step, trainer.state.log_history):
        trainer.evaluate()
    return evaluation_at(step, trainer.state.log_history)


def _run_trainer(trainer: Any, following: Callbacks, resume: Path | None) -> None:  # noqa: ANN401  no types
    """Let a trainer train to the end; raises StopRequestedError, with a checkpoint written, if it was asked to stop."""
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except StopRequestedError as stop:
        if following.stopping.gave_up_evaluation and not following.checkpointing.has(stop.step):
            _save_checkpoint(trainer)
        raise
    if following.stopping.stopped_at is not None:
        raise StopRequestedError(following.stopping.stopped_at)


def _prepared(trainer: Any, run: Run) -> dict[str, Any]:  # noqa: ANN401  TRL has no types
    """Do what a configuration cannot say; where the adapter starts, if it has to be converted in the end."""
    settings, task = run.settings, run.task
    adapter = settings["adapter"]
    if adapter is None:
        return {}
    if settings["loraplus_lr_ratio"] != 1:
        learning.use_loraplus(trainer, settings)
    if adapter["init_lora_weights"] == "loftq" and task.resume_from is None:
        learning.start_from_what_was_lost(trainer.model, task.inputs["model"], Path(task.tune_folder))
        lora.keep_adapters_exact(trainer.model)
    return lora.matrices(trainer.model) if lora.is_converted(adapter) else {}


def _give_back(run: Run, start: Mapping[str, Any]) -> None:
    """Convert an adapter that started with a part of the base, so that it fits the base as it was."""
    if run.ranks.is_first and start:
        lora.convert(run.task.output_folder, start)


def _allow_cache(task: Task) -> None:
    """Undo, in the configuration that was saved, that trainers switch the key-value cache off: answering needs it."""
    path = task.output_folder / "config.json"
    if path.is_file():
        before = json.loads((Path(task.inputs["model"][0].folder) / "config.json").read_bytes())
        config = {**json.loads(path.read_bytes()), "use_cache": before.get("use_cache", True)}
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _facts(model: Any, run: Run) -> dict[str, Plain]:  # noqa: ANN401  transformers has no types
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    facts: dict[str, Plain] = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trainable_parameters": trainable,
    }
    facts |= dropout_rates.fact(model.config.to_dict(), disabled=bool(run.settings.get(dropout.DISABLED)))
    facts["attn_implementation"] = model.config._attn_implementation  # noqa: SLF001  transformers tells it nowhere else
    if "cross_entropy" in run.settings:
        facts["cross_entropy"] = cross_entropy.chosen(run.settings)
    if hasattr(model, "peft_config"):
        facts["target_modules"] = sorted(model.peft_config["default"].target_modules)
        if names := lora.all_linear(model):
            facts[ALL_LINEAR] = names
    return facts


def _take_checkpoint(method: Method, checkpoint: Path, run: Run) -> tuple[dict[str, Plain], dict[str, Plain]]:
    """A run whose end was passed on the way: its weights are those of the checkpoint, or the best up to it."""
    state = trainer_state(checkpoint)
    if is_sharded(checkpoint):
        trainer = _trainer(method, run)
        load(trainer, checkpoint)
        save_weights(trainer, run.ranks, run.task.output_folder)
    metrics, facts = end_at(checkpoint, run, state["log_history"])
    if "best_step" not in facts and run.rows(VALIDATION) is not None:
        step = int(state["global_step"])
        metrics |= evaluation_at(step, state["log_history"]) or _evaluate(method, checkpoint, run, step)
    return metrics, facts


def _evaluate(method: Method, checkpoint: Path, run: Run, step: int) -> dict[str, Plain]:
    """Measure what nobody had measured: the run was stopped in the evaluation after its last step."""
    trainer = _trainer(method, run)
    attach(trainer, method.layout, answering_of(run, method.layout))
    trainer.add_callback(telling(run.task, run.reporter))
    load(trainer, checkpoint)
    trainer.evaluate()
    return evaluation_at(step, trainer.state.log_history)


def _save_checkpoint(trainer: Any) -> None:  # noqa: ANN401  transformers has no types
    """Save between two steps, where the trainer itself would not."""
    trainer._save_checkpoint(trainer.model, trial=None)  # noqa: SLF001  there is no other way
    trainer.callback_handler.on_save(trainer.args, trainer.state, trainer.control)
