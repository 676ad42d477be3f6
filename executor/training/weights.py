"""What was trained, as a plain folder of Hugging Face's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from executor.training.strategies import consolidated
from executor.workers.ranks import Ranks


def save_weights(trainer: Any, ranks: Ranks, folder: Path) -> None:  # noqa: ANN401  transformers has no types
    """Write the weights that a run yields, adapter or whole, with their configuration. All ranks must call it."""
    state = consolidated(trainer)
    if ranks.is_first:
        trainer.accelerator.unwrap_model(trainer.model).save_pretrained(folder, state_dict=state)
        (folder / "README.md").unlink(missing_ok=True)
    ranks.wait_for_all()
