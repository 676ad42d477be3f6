"""What was trained, as a plain folder of Hugging Face's."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def save_weights(model: Any, folder: Path) -> None:  # noqa: ANN401  transformers has no types
    """Write the weights that a run yields, adapter or whole, with their configuration."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
