"""What `config.json` says of a model: of a folder, and of that at the very beginning of a chain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from executor.models.lineage import root_model
from planner.kind import Resources


def configuration(folder: Path) -> Mapping[str, Any]:
    """A model's configuration, if there is one; whether it is sound is for others to say."""
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def root_configuration(address: str, resources: Resources, folder: Path) -> Mapping[str, Any]:
    """The configuration of the model at the very beginning, as far as it can be read here without asking the hub."""
    model = resources[root_model(address, resources)].specification
    found: Mapping[str, Any] = model.config or configuration(folder / model.source)
    return found
