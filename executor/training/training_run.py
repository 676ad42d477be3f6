"""A training run as its method sees it: settings and token rows become a model, arguments and batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from executor.evaluation.sample_file import NAME as SAMPLES
from executor.evaluation.sample_file import SampleFile
from executor.models.loading import has_gpu, load_model, load_quantized, load_tokenizer, padding_id, usable_attention
from executor.models.quantization import keep_scales, quantization
from executor.tokens import token_files
from executor.tokens.token_files import TRAIN, VALIDATION
from executor.training import filling, kernel_fields, learning, optimizers, precision_fields, strategies
from executor.training.collation import Collator
from executor.training.drawn_answers import DrawnAnswers
from executor.training.recurrent import is_recurrent
from executor.training.run_schedule import schedule_of
from executor.training.trackers import tracker_arguments
from executor.workers.ranks import ALONE, Ranks
from executor.workers.task import Task
from executor.workers.worker_reports import Reporter
from executor.workers.world import accumulation, micro_batch
from planner.schedule import Schedule
from state.diagnostic import problem
from state.values import frozen


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

    def drawn(self) -> DrawnAnswers:
        """Keeps answers of a model that answers anyway while it trains."""
        evaluation = self.settings["evaluation"]
        return DrawnAnswers(evaluation["samples"] if evaluation else 0)

    def schedule(self) -> Schedule:
        """The learning rates of the run."""
        return schedule_of(self.settings, self.row_count)

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
        epoch = schedule_of({**self.settings, "num_epochs": 1.0, "max_steps": 0}, self.row_count).total_steps
        return math.ceil(epoch / int(evaluation["evals_per_epoch"]))

    @property
    def row_count(self) -> int:
        """Rows to train on in one epoch."""
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
            scratch = Path(self.task.tune_folder)
            return keep_scales(load_quantized(foundations, self.dtype, self.attention, quantized, scratch))
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
        apart = name == VALIDATION and "test_datasets" in self.task.inputs
        folder, name_there = (Path(self.task.one("test_datasets").folder), TRAIN) if apart else (self.tokens, name)
        found = token_files.opened(folder, name_there)
        lacks = name == TRAIN and self.lacking_rows and filling.can_fill(found)
        return filling.with_filler(found) if lacks else found

    @property
    def lacking_rows(self) -> int:
        """How many rows an epoch lacks for all ranks to get equally many."""
        return filling.lacking(self.row_count, micro_batch(self.settings, self.task.world), self.task.world.size)

    def collator(self, tokenizer: Any) -> Collator:  # noqa: ANN401  transformers has no types
        """How rows become batches."""
        packed = bool(self.task.one("tokens").settings["sample_packing"])
        multiple = self.settings["trainer"].get("pad_to_multiple_of")
        return Collator(padding_id(tokenizer), packed, multiple if isinstance(multiple, int) else 1)
