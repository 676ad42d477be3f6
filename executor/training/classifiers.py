"""Models that judge instead of going on with a text: scores in the place of the next token's likelihoods."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.models.loading import load_model
from executor.models.quantization import fold, quantization
from executor.models.trust import load, trusts

if TYPE_CHECKING:
    from executor.training.training_run import Run


def load_classifier(run: Run, labels: int) -> Any:  # noqa: ANN401  transformers has no types
    """What is trained, with a head for whole texts; new numbers of a head follow the stage's seed.

    It is on the CPU, unless its matrices are quantised; the head never is.
    """
    import torch
    from transformers import set_seed
    from trl.trainer.reward_trainer import suppress_seqcls_warning

    foundations, few_bits = run.task.inputs["model"], quantization(run.settings)
    set_seed(run.settings["seed"])
    with suppress_seqcls_warning(), tempfile.TemporaryDirectory(dir=run.task.tune_folder, prefix="fold-") as scratch:
        model = load(
            "AutoModelForSequenceClassification",
            fold(foundations, Path(scratch)) if few_bits is not None else foundations[0].folder,
            trusted=trusts(foundations),
            num_labels=labels,
            dtype=getattr(torch, run.dtype),
            attn_implementation=run.attention,
            quantization_config=few_bits,
        )
    if len(foundations) > 1 and few_bits is None:
        merged = load_model(foundations, run.dtype, run.attention)
        model.base_model.load_state_dict(merged.base_model.state_dict())
    return model
