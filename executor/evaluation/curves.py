"""What a run's metrics look like over its steps: the curves of each panel, and where the metrics of a record lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from executor.evaluation.metrics_file import NAME, read
from executor.evaluation.sample_file import NAME as SAMPLES
from state.diagnostic import problem
from state.layout import Layout
from state.record import Record
from state.values import frozen


def _both(column: str) -> tuple[tuple[str, str], ...]:
    return (column, "train"), (f"eval_{column}", "eval")


PANELS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("Loss", _both("loss")),
    ("Token accuracy", _both("mean_token_accuracy")),
    ("Reward", _both("reward")),
    ("Preference accuracy", (*_both("rewards/accuracies"), *_both("accuracy"))),
    ("Preference margin", (*_both("rewards/margins"), *_both("margin"))),
    ("KL divergence", _both("kl")),
    ("Length of completions", _both("completions/mean_length")),
    ("Learning rate", (("learning_rate", "learning rate"),)),
    ("Gradient norm", (("grad_norm", "gradient norm"),)),
)
"""What is drawn: the title of each panel, and its columns of metrics.jsonl with their names."""


@frozen
class Curve:
    """One column over the steps; points are (step, value), without those that are no number."""

    name: str
    points: tuple[tuple[int, float], ...]


@frozen
class Panel:
    """Curves that share their axes."""

    title: str
    curves: tuple[Curve, ...]

    @property
    def steps(self) -> tuple[int, int]:
        """The first and the last step."""
        steps = [step for curve in self.curves for step, _ in curve.points]
        return min(steps), max(steps)

    @property
    def values(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        values = [value for curve in self.curves for _, value in curve.points]
        return min(values), max(values)


def panels(rows: Sequence[Mapping[str, Any]]) -> tuple[Panel, ...]:
    """The panels of a run's rows; those without any point are left out."""
    found = []
    for title, columns in PANELS:
        curves = tuple(Curve(name, _points(rows, column)) for column, name in columns)
        drawn = tuple(curve for curve in curves if curve.points)
        found += [Panel(title, drawn)] if drawn else []
    return tuple(found)


def _points(rows: Sequence[Mapping[str, Any]], column: str) -> tuple[tuple[int, float], ...]:
    return tuple((int(row["step"]), float(row[column])) for row in rows if row.get(column) is not None)


def thinned(points: Sequence[tuple[int, float]], steps: tuple[int, int], columns: int) -> list[tuple[int, float]]:
    """The points that can be told apart in so many columns: of each, the lowest and the highest, in their order."""
    first, last = steps
    width = max(1, last - first)
    kept: list[tuple[int, float]] = []
    for _, group in groupby(points, key=lambda point: (point[0] - first) * (columns - 1) // width):
        together = list(group)
        ends = {min(together, key=lambda point: point[1]), max(together, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def metrics_of(address: str, record: Record, layout: Layout) -> list[dict[str, Any]]:
    """The rows of a record's run, finished or under way; raises ProblemError if there are none."""
    rows = _rows(NAME, address, record, layout)
    if rows:
        return rows
    if record.kind != "train":
        raise problem("No metrics", f"{address} is no training run.", "Curves are kept of `train` resources.")
    made = record.provenance.host
    detail = f"There are no metrics of the steps of {address} on this machine."
    raise problem("No metrics", detail, f"It was made on {made}." if made else "It has not taken a step yet.")


def last_samples(address: str, record: Record, layout: Layout) -> list[dict[str, Any]]:
    """What a run's model answered at its last evaluation; nothing where answers were not kept."""
    rows = _rows(SAMPLES, address, record, layout)
    return [row for row in rows if row["step"] == rows[-1]["step"]]


def _rows(file: str, address: str, record: Record, layout: Layout) -> list[dict[str, Any]]:
    """The rows of a file of a run: beside what it made, or, while there is nothing yet, beside its checkpoints."""
    kind, name = address.split(".", 1)
    under_way = layout.checkpoints(kind, name, record.action_key)
    checkpoints = [layout.root / one.folder for one in reversed(record.checkpoints)]
    folders = [layout.root / record.artifact] if record.artifact else [under_way, *checkpoints]
    path = next((folder / file for folder in folders if (folder / file).is_file()), None)
    return list(read(path)) if path is not None else []
