"""Two results that should have been one: which tensors, rows, settings or figures differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from executor.evaluation.evaluation_run import METRICS, PREDICTIONS
from executor.models.model_files import configurations
from executor.models.tensor_files import tensor_digests
from executor.tokens.token_files import TRAIN, VALIDATION, read_columns, split_files


def differences(kind: str, before: Path, after: Path) -> Iterator[str]:
    """Every difference between two results of one kind that counts for their digests, in sentences without an end."""
    compare = {"tokens": _of_tokens, "eval": _of_evaluations}.get(kind, _of_models)
    yield from compare(before, after)


def _of_models(before: Path, after: Path) -> Iterator[str]:
    old, new = tensor_digests(before), tensor_digests(after)
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"tensor {name} is missing"
        elif name not in old:
            yield f"tensor {name} was not there"
        elif old[name] != new[name]:
            yield f"tensor {name} differs"
    was, now = configurations(before), configurations(after)
    yield from (f"{name} differs" for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name))


def _of_tokens(before: Path, after: Path) -> Iterator[str]:
    for name in (TRAIN, VALIDATION):
        old, new = (_rows(folder, name) for folder in (before, after))
        if len(old) != len(new):
            yield f"{name} has {len(new)} rows, and had {len(old)}"
        unlike = [at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other]
        if unlike:
            yield f"{len(unlike)} of {len(old)} rows of {name} differ, the first is row {unlike[0] + 1}"


def _rows(folder: Path, split: str) -> list[tuple[object, ...]]:
    """The rows of a split with all their columns; none where there is no such split."""
    if not split_files(folder, split):
        return []
    columns = read_columns(folder, split)
    return list(zip(*(columns[name] for name in sorted(columns)), strict=True))


def _of_evaluations(before: Path, after: Path) -> Iterator[str]:
    old, new = (json.loads((folder / METRICS).read_bytes()) for folder in (before, after))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield f"{name} is {new.get(name)}, and was {old.get(name)}"
    if (before / PREDICTIONS).is_file() and (after / PREDICTIONS).is_file():
        given = [(folder / PREDICTIONS).read_text(encoding="utf-8").splitlines() for folder in (before, after)]
        unlike = [at for at, (one, other) in enumerate(zip(*given, strict=False)) if one != other]
        if unlike:
            yield f"{len(unlike)} of {len(given[0])} answers differ, the first is answer {unlike[0] + 1}"
