"""Models that judge instead of going on with a text: scores in the place of the next token's likelihoods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from executor.models.loading import load_model
from executor.models.trust import load, trusts

if TYPE_CHECKING:
    from executor.training.training_run import Run


def load_classifier(run: Run, labels: int) -> Any:  # noqa: ANN401  transformers has no types
    """What is trained, on the CPU, with a head for whole texts; new numbers of a head follow the stage's seed."""
    import torch
    from transformers import set_seed
    from trl.trainer.reward_trainer import suppress_seqcls_warning

    whole, *adapters = run.task.inputs["model"]
    set_seed(run.settings["seed"])
    with suppress_seqcls_warning():
        model = load(
            "AutoModelForSequenceClassification",
            whole.folder,
            trusted=trusts(run.task.inputs["model"]),
            num_labels=labels,
            dtype=getattr(torch, run.dtype),
            attn_implementation=run.attention,
        )
    if adapters:
        merged = load_model(run.task.inputs["model"], run.dtype, run.attention)
        model.base_model.load_state_dict(merged.base_model.state_dict())
    return model
