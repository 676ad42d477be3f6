"""One training run from its task: what every method needs before and after its trainer does the work."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from attrs import frozen

from executor import (
    determinism,
    filling,
    kernel_fields,
    learning,
    lora,
    model_files,
    optimizers,
    precision_fields,
    software,
    strategies,
)
from executor.answering import answering_of
from executor.best_model import best_folder, take_over
from executor.callbacks import Callbacks, RunIsOverError, callbacks
from executor.collation import Collator
from executor.distributed_fields import checkpoint_format, is_bound
from executor.evaluation_hook import attach
from executor.kinds.model import delivered
from executor.loading import has_gpu, load_model, load_quantized, load_tokenizer, padding_id, usable_attention
from executor.method import Method
from executor.metrics_file import NAME as METRICS
from executor.metrics_file import MetricsFile
from executor.optimization_fields import schedule_of
from executor.quantization import quantization
from executor.ranks import ALONE, Ranks, join
from executor.recurrent import is_recurrent
from executor.sample_file import NAME as SAMPLES
from executor.sample_file import SampleFile
from executor.selection import chosen_facts, evaluation_at
from executor.sharded_checkpoint import is_sharded, load
from executor.task import Outcome, Task
from executor.tensor_files import parameter_count
from executor.token_files import TRAIN, VALIDATION
from executor.trackers import check_trackers, set_environment, tracker_arguments
from executor.weights import save_weights
from executor.worker_reports import Reporter, StopRequestedError
from executor.world import accumulation, micro_batch
from planner.resume import STOPPED_EARLY
from planner.schedule import Schedule
from state import artifacts
from state.canonical import Plain
from state.diagnostic import problem
from state.record import Checkpoint

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "adapter_config.json")


@frozen
class Run:
    """A training run, as a method sees it."""

    task: Task
    reporter: Reporter
    ranks: Ranks = ALONE

    @property
    def settings(self) -> Mapping[str, Any]:
        """The resolved settings of the stage."""
        return self.task.settings

    @property
    def tokens(self) -> Path:
        """The folder of the token rows."""
        return Path(self.task.one("tokens").folder)

    @property
    def samples(self) -> SampleFile:
        """The answers that are kept to look at."""
        return SampleFile(Path(self.task.checkpoints) / SAMPLES)

    def schedule(self) -> Schedule:
        """The learning rates of the run."""
        return schedule_of(self.settings, self._row_count())

    def arguments(self) -> dict[str, Any]:
        """What every trainer's configuration class is told; the recipe's `trainer` table comes on top."""
        settings, planned = self.settings, self.schedule()
        checkpoints, evaluation = settings["checkpoints"], settings["evaluation"]
        return {
            "output_dir": self.task.checkpoints,
            "per_device_train_batch_size": micro_batch(settings, self.task.world),
            "per_device_eval_batch_size": micro_batch(settings, self.task.world),
            "gradient_accumulation_steps": accumulation(settings, self.task.world),
            "num_train_epochs": settings["num_epochs"],
            "max_steps": settings["max_steps"] or -1,
            "learning_rate": settings["learning_rate"],
            "lr_scheduler_type": planned.scheduler,
            "lr_scheduler_kwargs": dict(planned.arguments),
            "warmup_steps": planned.warmup_steps,
            **{name: settings[name] for name in ("adam_beta1", "adam_beta2", "adam_epsilon")},
            **{
                name: settings[name] for name in ("weight_decay", "max_grad_norm", "seed", "data_seed", "logging_steps")
            },
            "neftune_noise_alpha": settings["neftune_noise_alpha"] or None,
            **optimizers.told(settings),
            **precision_fields.told(settings),
            **kernel_fields.told(settings, has_gpu=has_gpu()),
            "save_strategy": "steps",
            "save_steps": checkpoints["save_steps"],
            "eval_strategy": "steps" if evaluation else "no",
            "eval_steps": self.eval_steps() if evaluation else None,
            "use_cpu": not has_gpu(),
            # transformers would otherwise put the last good losses in the place of bad ones.
            "logging_nan_inf_filter": False,
            **tracker_arguments(self.task, settings["logging"]),
            "disable_tqdm": True,
            "remove_unused_columns": False,
            # With a key-value cache, packed documents see each other.
            "use_cache": False,
            **strategies.trainer_arguments(settings, self.task.world),
            **settings["trainer"],
        }

    def eval_steps(self) -> int:
        """After how many steps there is an evaluation."""
        evaluation = self.settings["evaluation"]
        if not evaluation["evals_per_epoch"]:
            return int(evaluation["eval_steps"])
        epoch = schedule_of({**self.settings, "num_epochs": 1.0, "max_steps": 0}, self._row_count()).total_steps
        return math.ceil(epoch / int(evaluation["evals_per_epoch"]))

    def _row_count(self) -> int:
        return cast("int", self.task.one("tokens").facts["rows"])

    @property
    def dtype(self) -> str:
        """What the weights are held in: frozen ones in half, those that are trained whole."""
        return self._computed_in if self.settings["adapter"] is not None else "float32"

    @property
    def attention(self) -> str:
        """The attention kernel, one that this machine has."""
        return usable_attention(self.settings["attn_implementation"], self._computed_in)

    @property
    def _computed_in(self) -> str:
        return precision_fields.compute_dtype(bf16=self.settings["bf16"], fp16=self.settings["fp16"])

    def model(self) -> Any:  # noqa: ANN401  transformers has no types
        """What is trained: on the CPU, unless its matrices are quantised, which happens where it is trained."""
        settings, foundations = self.settings, self.task.inputs["model"]
        quantized = quantization(settings)
        if quantized is not None:
            return load_quantized(foundations, self.dtype, self.attention, quantized, Path(self.task.tune_folder))
        with strategies.whole_if(len(foundations) > 1):
            model = load_model(foundations, self.dtype, self.attention)
        learning.freeze(model, settings["unfrozen_parameters"])
        if self.task.one("tokens").settings["sample_packing"] and is_recurrent(model.config.to_dict()):
            detail = "Layers of this model carry a state from one document of a packed row into the next."
            raise problem("Contradicting fields", detail, "Remove `sample_packing`.")
        return model

    def tokenizer(self) -> Any:  # noqa: ANN401  transformers has no types
        """The tokenizer that travels with what is trained."""
        return load_tokenizer(self.task.inputs["model"])

    def rows(self, name: str) -> Any:  # noqa: ANN401  datasets has no types
        """Token rows as the trainer reads them; None where there are none."""
        from datasets import Dataset

        if name == VALIDATION and "test_datasets" in self.task.inputs:
            return Dataset.from_file(str(Path(self.task.one("test_datasets").folder) / TRAIN))
        path = self.tokens / name
        found = Dataset.from_file(str(path)) if path.is_file() else None
        if name == TRAIN and found is not None and self.lacking_rows and filling.can_fill(found):
            return filling.with_filler(found)
        return found

    @property
    def lacking_rows(self) -> int:
        """How many rows an epoch lacks for all ranks to get equally many."""
        return filling.lacking(self._row_count(), micro_batch(self.settings, self.task.world), self.task.world.size)

    def collator(self, tokenizer: Any) -> Collator:  # noqa: ANN401  transformers has no types
        """How rows become batches."""
        packed = bool(self.task.one("tokens").settings["sample_packing"])
        return Collator(padding_id(tokenizer), packed)


def train(method: Method, task: Task, reporter: Reporter) -> Outcome:
    """Train, or continue, or take a checkpoint that is already the desired result; then write a plain model folder.

    All ranks of the task's world must call it; the first one alone writes, and has an outcome.
    """
    if task.settings["deterministic"]:
        determinism.enforce()
    check_trackers(task.address, cast("Any", task.settings["logging"]))
    run = Run(task, reporter, join(task.world))
    total = run.schedule().total_steps
    checkpoint = Path(task.tune_folder) / task.resume_from.folder if task.resume_from is not None else None
    metrics_file = MetricsFile(Path(task.checkpoints) / METRICS)
    if run.ranks.is_first:
        _prepare(task, checkpoint, (metrics_file, run.samples))
    run.ranks.wait_for_all()
    if checkpoint is not None and _is_end(checkpoint, total, run):
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
        facts={"steps": total, **facts, **_circumstances(task)},
        versions=software.versions(),
        hardware=software.hardware(),
        gpus=task.world.size if software.gpus() else 0,
    )


def _prepare(task: Task, checkpoint: Path | None, files: Sequence[MetricsFile | SampleFile]) -> None:
    """Have the checkpoints' folder as the run that is continued left it, or empty."""
    if task.resume_from is not None:
        _check_layout(task.resume_from, task)
        _check(task.resume_from, task)
    _clear_leftovers(task)
    for file in files:
        file.continue_from(checkpoint)
    take_over(checkpoint, best_folder(task))


def _trainer(method: Method, run: Run) -> Any:  # noqa: ANN401  transformers has no types
    """The method's trainer, proved to train as the recipe says."""
    world = run.task.world
    loading = strategies.shared_out(run.settings, world)
    trainer = method.train(run)
    del loading
    strategies.prove(trainer, world)
    if run.lacking_rows and filling.can_fill(trainer.train_dataset):
        filling.fill(trainer, len(trainer.train_dataset) - 1, micro_batch(run.settings, world) * world.size)
    elif run.lacking_rows:
        text = f"{run.lacking_rows} rows are seen twice in each epoch, so that all {world.size} processes get as many"
        run.reporter.message(text)
    return trainer


def _circumstances(task: Task) -> dict[str, Plain]:
    """What decides about bits and not about identity: where the run went on from, in which parts, and how."""
    resumed = task.resume_from.step if task.resume_from else 0
    facts: dict[str, Plain] = {"resumed_from": resumed, "deterministic": task.settings["deterministic"]}
    if task.world.strategy != "single":
        facts |= {"strategy": task.world.strategy, "world_size": task.world.size}
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
    attach(trainer, answering_of(run, method.layout))
    save = partial(save_weights, trainer, run.ranks)
    following = callbacks(run.task, run.reporter, run.ranks, metrics_file, run.samples, save)
    for callback in following.all:
        trainer.add_callback(callback)
    resume = Path(task.tune_folder) / task.resume_from.folder if task.resume_from else None
    if resume is not None and _was_not_evaluated(resume, run):
        trainer.args.eval_on_start = True
    try:
        result = _run_trainer(trainer, following, resume)
    except StopRequestedError:
        run.ranks.end()
        raise
    except RunIsOverError:
        ended = _end_at(cast("Path", resume), run, trainer.state.log_history)
        _give_back(run, start)
        return ended
    metrics: dict[str, Plain] = {
        "train_loss": round(float(result.training_loss), 6),
        "steps": int(trainer.state.global_step),
    }
    metrics |= following.progress.last_loss()
    chosen = chosen_facts(run.settings, trainer.state.log_history, total)
    if "best_step" in chosen:
        _copy_weights(best_folder(task), run)
        metrics |= evaluation_at(cast("int", chosen["best_step"]), trainer.state.log_history)
    else:
        if run.rows(VALIDATION) is not None:
            trainer.evaluate()
            metrics |= evaluation_at(int(trainer.state.global_step), trainer.state.log_history)
        save(task.output_folder)
    _give_back(run, start)
    warnings = following.guarding.given()
    return metrics, {**_facts(trainer.model), **chosen, **({"warnings": warnings} if warnings else {})}


def _run_trainer(trainer: Any, following: Callbacks, resume: Path | None) -> Any:  # noqa: ANN401  no types
    """Let a trainer train to the end; raises StopRequestedError, with a checkpoint written, if it was asked to stop."""
    try:
        result = trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except StopRequestedError as stop:
        if following.stopping.gave_up_evaluation and not following.checkpointing.has(stop.step):
            _save_checkpoint(trainer)
        raise
    if following.stopping.stopped_at is not None:
        raise StopRequestedError(following.stopping.stopped_at)
    return result


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


def _facts(model: Any) -> dict[str, Plain]:  # noqa: ANN401  transformers has no types
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    facts: dict[str, Plain] = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trainable_parameters": trainable,
    }
    facts["attn_implementation"] = model.config._attn_implementation  # noqa: SLF001  transformers tells it nowhere else
    if hasattr(model, "peft_config"):
        facts["target_modules"] = sorted(model.peft_config["default"].target_modules)
    return facts


def _check_layout(checkpoint: Checkpoint, task: Task) -> None:
    """Refuse what the strategy cannot read: DDP would lose DeepSpeed's optimizer without a word."""
    own, bound = checkpoint_format(task.settings), is_bound(checkpoint.format)
    if checkpoint.format != own or (bound and checkpoint.world_size != task.world.size):
        written = f"{checkpoint.format} on {checkpoint.world_size} processes"
        detail = f"The checkpoint of step {checkpoint.step} is {written}; the run is {own} on {task.world.size}."
        raise problem("Checkpoint of another layout", detail, "Set `distributed` as it was, or use `--replace`.")


def _check(checkpoint: Checkpoint, task: Task) -> None:
    """Read every byte before trusting one; a damaged checkpoint is set aside so that the next plan passes it over."""
    folder = Path(task.tune_folder) / checkpoint.folder
    manifest = artifacts.read(folder)
    if manifest is not None and manifest.digest == checkpoint.digest and not artifacts.verify(folder):
        return
    (folder / artifacts.MANIFEST).unlink(missing_ok=True)
    detail = f"The checkpoint of step {checkpoint.step} of {task.address} is damaged, and is not used any more."
    raise problem("Damaged checkpoint", detail, "Run `tune plan` again: it continues from an earlier one, or anew.")


def _clear_leftovers(task: Task) -> None:
    """Remove checkpoints of an earlier attempt that this run does not continue: incomplete ones, and later ones."""
    kept = {Path(task.tune_folder) / one.folder for one in task.earlier}
    folder = Path(task.checkpoints)
    for child in folder.glob("checkpoint-*") if folder.is_dir() else ():
        if child not in kept:
            artifacts.remove(child)


def _is_end(checkpoint: Path, total: int, run: Run) -> bool:
    """Whether nothing is left to train after a checkpoint: it is as long as wanted, or its run had ended early."""
    state = _trainer_state(checkpoint)
    return state["global_step"] == total or STOPPED_EARLY in chosen_facts(run.settings, state["log_history"], total)


def _trainer_state(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((checkpoint / "trainer_state.json").read_bytes())
    return state


def _take_checkpoint(method: Method, checkpoint: Path, run: Run) -> tuple[dict[str, Plain], dict[str, Plain]]:
    """A run whose end was passed on the way: its weights are those of the checkpoint, or the best up to it."""
    state = _trainer_state(checkpoint)
    if is_sharded(checkpoint):
        trainer = _trainer(method, run)
        load(trainer, checkpoint)
        save_weights(trainer, run.ranks, run.task.output_folder)
    metrics, facts = _end_at(checkpoint, run, state["log_history"])
    if "best_step" not in facts and run.rows(VALIDATION) is not None:
        step = int(state["global_step"])
        metrics |= evaluation_at(step, state["log_history"]) or _evaluate(method, checkpoint, run, step)
    return metrics, facts


def _end_at(checkpoint: Path, run: Run, log: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Plain], dict[str, Plain]]:
    """What a run yields that ends at a checkpoint, given all that it has logged."""
    step = int(_trainer_state(checkpoint)["global_step"])
    chosen = chosen_facts(run.settings, log, run.schedule().total_steps)
    _copy_weights(best_folder(run.task) if "best_step" in chosen else checkpoint, run)
    losses = [entry["loss"] for entry in log if "loss" in entry]
    metrics: dict[str, Plain] = {"steps": step}
    metrics |= {"loss": round(float(losses[-1]), 6)} if losses else {}
    if "best_step" in chosen:
        metrics |= evaluation_at(cast("int", chosen["best_step"]), log)
    return metrics, {"trainable_parameters": parameter_count(run.task.output_folder), **chosen}


def _evaluate(method: Method, checkpoint: Path, run: Run, step: int) -> dict[str, Plain]:
    """Measure what nobody had measured: the run was stopped in the evaluation after its last step."""
    trainer = _trainer(method, run)
    attach(trainer, answering_of(run, method.layout))
    if trainer.args.world_size > 1:
        return {}  # each way of sharding loads in a way of its own
    trainer._load_from_checkpoint(str(checkpoint))  # noqa: SLF001  what going on from there would begin with
    trainer.state.global_step = step
    trainer.evaluate()
    return evaluation_at(step, trainer.state.log_history)


def _was_not_evaluated(checkpoint: Path, run: Run) -> bool:
    """Whether the evaluation after a checkpoint's step was given up for the sake of the checkpoint."""
    state = _trainer_state(checkpoint)
    step = int(state["global_step"])
    due = run.settings["evaluation"] is not None and step % run.eval_steps() == 0
    return due and not evaluation_at(step, state["log_history"])


def _save_checkpoint(trainer: Any) -> None:  # noqa: ANN401  transformers has no types
    """Save between two steps, where the trainer itself would not."""
    trainer._save_checkpoint(trainer.model, trial=None)  # noqa: SLF001  there is no other way
    trainer.callback_handler.on_save(trainer.args, trainer.state, trainer.control)


def _copy_weights(source: Path, run: Run) -> None:
    for pattern in WEIGHTS if run.ranks.is_first else ():
        for path in source.glob(pattern):
            shutil.copyfile(path, run.task.output_folder / path.name)
    run.ranks.wait_for_all()
