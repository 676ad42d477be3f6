"""What TRL's trainers are told and kept from, so that they take token rows, models and adapters as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.models.dropout_rates import switch_off
from executor.models.lora import adapter_configuration, keep_adapters_exact
from executor.models.trained_rows import show_biases, token_rows
from executor.training import learning
from executor.training.dropout import DISABLED

if TYPE_CHECKING:
    from executor.training.training_run import Run


def unprepared(trainer: type[Any]) -> type[Any]:
    """A trainer that does not render, tokenize or cut rows again; most of TRL's have no switch for it."""

    def keep(_: object, dataset: object, *__: object, **___: object) -> object:
        return dataset

    return type(trainer.__name__, (trainer,), {"_prepare_dataset": keep})


def common(run: Run, model: Any = None, task: str = "CAUSAL_LM") -> dict[str, Any]:  # noqa: ANN401  transformers has no types
    """What every trainer is made with, beside its arguments and what sets it apart; `task` is what PEFT calls it."""
    from executor.tokens.token_files import TRAIN, VALIDATION

    trained, tokenizer = run.model() if model is None else model, run.tokenizer()
    learning.let_the_end_be_learnt(trained, tokenizer)
    if run.settings.get(DISABLED):
        switch_off(trained)
    adapter = run.settings["adapter"]
    rows = token_rows(adapter, trained, tokenizer)
    return {
        "model": trained,
        "train_dataset": run.rows(TRAIN),
        "eval_dataset": run.rows(VALIDATION),
        "processing_class": tokenizer,
        "peft_config": adapter_configuration(adapter, task, trained.config.model_type, rows),
    }


def ready(trainer: Any) -> Any:  # noqa: ANN401  TRL has no types
    """The trainer, silent and with adapters in the precision that a resume gives them back in."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    keep_adapters_exact(trainer.model)
    show_biases(trainer.model)
    return trainer


def reference(run: Run) -> dict[str, Any]:
    """The model that the trained one is compared with: what it was before, with earlier adapters merged into it.

    An adapter is switched off for it; else it is loaded a second time, for a trainer left alone would look for it where
    the configuration says that the weights came from, without what was trained since.
    """
    settings = run.settings
    needed = settings["adapter"] is None and not settings["precompute_ref_log_probs"]
    return {"ref_model": run.model()} if needed else {}


def beside_checkpoints(run: Run, rows: Any) -> Any:  # noqa: ANN401  datasets has no types
    """The rows, whose likelihoods under the reference are kept with the run's checkpoints, where all processes look.

    Left alone, `datasets` would put them beside the rows, into an artifact that is finished.
    """
    if rows is None:
        return None
    from datasets import Dataset

    folder = Path(run.task.checkpoints)
    folder.mkdir(parents=True, exist_ok=True)

    def path(_: object, fingerprint: str) -> str:
        return str(folder / f"reference-{fingerprint}.arrow")

    return type("TokenRows", (Dataset,), {"_get_cache_file_path": path})(rows.data)
