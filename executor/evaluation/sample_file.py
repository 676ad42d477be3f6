"""`samples.jsonl`: what a model answered to the same few prompts at each evaluation, in a file beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from executor.evaluation.evaluating import Prediction
from state.values import frozen

NAME = "samples.jsonl"


@frozen
class SampleFile:
    """Rows of `step`, `prompt`, `answer` and `reference`; those of a step stand together."""

    path: Path

    def continue_from(self, checkpoint: Path | None) -> None:
        """Begin with the rows up to a checkpoint, or without any."""
        before = checkpoint / NAME if checkpoint is not None else None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        if before is not None and before.is_file():
            shutil.copyfile(before, self.path)

    def add(self, step: int, predictions: Sequence[Prediction]) -> None:
        """Add the answers of one evaluation, unless there are some of that step already."""
        if not predictions or any(row["step"] == step for row in self._rows()):
            return
        with self.path.open("a", encoding="utf-8") as file:
            for one in predictions:
                row = {"step": step, "prompt": one.question, "answer": one.answer, "reference": one.reference}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

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
