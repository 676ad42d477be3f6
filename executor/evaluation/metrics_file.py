"""`metrics.jsonl`: one row for each step that was logged, in a file beside the model.

A row is a JSON object: `step`, `epoch`, then what the trainer logged under the names that it has there (`loss`,
`grad_norm`, `learning_rate`, `eval_loss`, ...), then what depends on the machine and the moment (`VOLATILE`). What is
no number is null.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field

NAME = "metrics.jsonl"
WRITE_SECONDS = 1.0
"""Opening the file for each row takes as long as all else that is done for it."""
VOLATILE = ("tokens_per_second", "memory_gib", "seconds")
"""Columns that another run of the same would have other values in; `seconds` since the process began to train."""
LEFT_OUT = ("_runtime", "samples_per_second", "steps_per_second", "train_tokens_per_second", "num_tokens")
"""Ends of names of what trainers log and nobody keeps: speeds, and TRL's count of tokens, which begins anew."""
FIRST = ("step", "epoch", "loss", "learning_rate", "grad_norm", "eval_loss")


@define
class MetricsFile:
    """Keeps the rows of a run as they come; what is logged several times at a step becomes one row.

    Rows go to the file once a second and with every checkpoint, from which a run that was killed goes on,
    and whenever a run ends: the last row before a failure is the one that is looked for.
    """

    path: Path
    _row: dict[str, float] = field(factory=dict, init=False)
    _waiting: list[bytes] = field(factory=list, init=False)
    """Rows before it that are not in the file yet."""
    _start: int | None = field(default=None, init=False)
    """Where in the file the first row belongs that is not in it; None: at its end."""
    _complete: bool = field(default=True, init=False)
    """Whether all that is known is in the file."""
    _written: float = field(default=0.0, init=False)

    def continue_from(self, checkpoint: Path | None) -> None:
        """Begin with the rows up to a checkpoint, which has them in its folder; without any if there is none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = checkpoint / NAME if checkpoint is not None else None
        if before is not None and before.is_file():
            shutil.copyfile(before, self.path)
            self._take_up_last_row()
        else:
            self.path.write_bytes(b"")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Add figures to the row of a step, which is the newest."""
        if self._row.get("step") != step:
            self._close_row()
            self._row = {"step": step}
        self._row |= {name: value for name, value in figures.items() if not name.endswith(LEFT_OUT)}
        self._complete = False

    def _take_up_last_row(self) -> None:
        """Let more be said of the step that is continued from: its evaluation may have been given up."""
        content = self.path.read_bytes()
        self._start = content.rstrip(b"\n").rfind(b"\n") + 1
        self._row = {
            name: math.nan if value is None else value
            for name, value in json.loads(content[self._start :] or "{}").items()
        }

    def save(self, folder: Path) -> None:
        """Put all rows so far into a folder."""
        self.write()
        shutil.copyfile(self.path, folder / NAME)

    def move_to(self, folder: Path) -> None:
        """Put all rows into a folder, where they stay."""
        self.save(folder)
        self.path.unlink()

    def _close_row(self) -> None:
        """Nothing more is said of the newest row."""
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self.write()
        if self._complete:
            self._start = None
        else:
            self._waiting.append(_line(self._row))

    def write(self) -> None:
        """Append what is not in the file, or put it in the place of what was written of it before."""
        if self._complete:
            return
        with self.path.open("r+b") as file:
            file.seek(0, 2) if self._start is None else file.seek(self._start)
            file.writelines(self._waiting)
            self._start = file.tell()
            file.write(_line(self._row))
            file.truncate()
        self._waiting, self._complete, self._written = [], True, time.monotonic()


def _line(row: Mapping[str, float]) -> bytes:
    middle = sorted(name for name in row if name not in FIRST and name not in VOLATILE)
    names = [name for name in (*FIRST, *middle, *VOLATILE) if name in row]
    return json.dumps({name: _plain(row[name]) for name in names}).encode() + b"\n"


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file; a last one that a killed process left incomplete is passed over."""
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            return
        yield row
