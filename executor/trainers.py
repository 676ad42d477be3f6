"""What TRL's trainers are told and kept from, so that they take token rows, models and adapters as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from executor.lora import adapter_configuration, keep_adapters_exact

if TYPE_CHECKING:
    from executor.training import Run


def unprepared(trainer: type[Any]) -> type[Any]:
    """A trainer that does not render, tokenize or cut rows again; most of TRL's have no switch for it."""

    def keep(_: object, dataset: object, *__: object, **___: object) -> object:
        return dataset

    return type(trainer.__name__, (trainer,), {"_prepare_dataset": keep})


def common(run: Run) -> dict[str, Any]:
    """What every trainer is made with, beside its arguments and what sets it apart."""
    from executor.token_files import TRAIN, VALIDATION

    return {
        "model": run.model(),
        "train_dataset": run.rows(TRAIN),
        "eval_dataset": run.rows(VALIDATION),
        "processing_class": run.tokenizer(),
        "peft_config": adapter_configuration(run.settings["adapter"]),
    }


def ready(trainer: Any) -> Any:  # noqa: ANN401  TRL has no types
    """The trainer, silent and with adapters in the precision that a resume gives them back in."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    keep_adapters_exact(trainer.model)
    return trainer


def reference(run: Run) -> dict[str, Any]:
    """The model that the trained one is compared with: what it was before, with earlier adapters merged into it.

    An adapter is switched off for it; else it is loaded a second time, for a trainer left alone would look for it where
    the configuration says that the weights came from, without what was trained since.
    """
    settings = run.settings
    needed = settings["adapter"] is None and not settings["precompute_ref_log_probs"]
    return {"ref_model": run.model()} if needed else {}
