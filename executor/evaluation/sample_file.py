"""`samples.jsonl`: what a model answered to the same few prompts at each evaluation, in a file beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from state.canonical import Plain
from state.values import frozen

NAME = "samples.jsonl"
SAMPLED = ("prompt", "answer", "reference", "reward")
"""What there may be of each, in the order to read it in."""


@frozen
class SampleFile:
    """Rows of `step` and of what SAMPLED names; those of a step stand together."""

    path: Path

    def continue_from(self, checkpoint: Path | None) -> None:
        """Begin with the rows up to a checkpoint, or without any."""
        before = checkpoint / NAME if checkpoint is not None else None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        if before is not None and before.is_file():
            shutil.copyfile(before, self.path)

    def add(self, step: int, samples: Sequence[Mapping[str, Plain]]) -> None:
        """Add the answers of one evaluation, unless there are some of that step already."""
        if not samples or any(row["step"] == step for row in self._rows()):
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"step": step, **one}, ensure_ascii=False) + "\n" for one in samples)

    def save(self, folder: Path) -> None:
        """Put all rows so far into a folder, if there are any."""
        if self.path.is_file():
            shutil.copyfile(self.path, folder / NAME)

    def move_to(self, folder: Path) -> None:
        """Put all rows into a folder, where they stay."""
        self.save(folder)
        self.path.unlink(missing_ok=True)

    def _rows(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()] if self.path.is_file() else []
