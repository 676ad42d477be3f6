"""Configurations of other tools, told as what they are and not key by key."""

from __future__ import annotations

from collections.abc import Mapping

from state.canonical import Plain
from state.values import frozen

HINT = (
    "`tune init FOLDER` writes a recipe that its settings can be brought to; a field that has another name here "
    "is told by that."
)
_KEYS = {"base_model": "Axolotl", "model_name_or_path": "LLaMA-Factory or TRL"}
"""What names the model at the top of a file, where a recipe has tables."""


@frozen
class OtherTool:
    """The key by which a configuration was recognised, and what it tells."""

    key: str
    detail: str


def other_tool(document: Mapping[str, Plain]) -> OtherTool | None:
    """Which tool a document is for; None if it is none that is known."""
    key = next((one for one in _KEYS if isinstance(document.get(one), str)), None)
    if key is None:
        return None
    return OtherTool(key, f"`{key}` at the top is for {_KEYS[key]}, and tune does not read its configurations.")
