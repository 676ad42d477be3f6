"""Weights out of a checkpoint that no rank can read alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class _LoadedError(Exception):
    """Ends a training before its first step: all that was wanted is that the checkpoint is loaded."""


def is_sharded(checkpoint: Path) -> bool:
    """Whether a checkpoint holds the weights in parts only (FSDP), and not as a model folder too."""
    return not any(checkpoint.glob("*.safetensors"))


def load(trainer: Any, checkpoint: Path) -> None:  # noqa: ANN401  transformers has no types
    """Have the model of a trainer as it was at a checkpoint. All ranks must call it."""
    from transformers import TrainerCallback

    class Loading(TrainerCallback):
        """Comes when everything is loaded."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
            """Go no further: past its last step, a trainer would train one more."""
            raise _LoadedError

    trainer.add_callback(Loading())
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint))
    except _LoadedError:
        return
