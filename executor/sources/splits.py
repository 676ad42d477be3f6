"""Splits and slices of them, written as in `datasets`: `train`, `train[:10%]`, `train[100:]+test`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import PurePath
from typing import TypeVar

from state.diagnostic import ProblemError, problem
from state.values import frozen

T = TypeVar("T")

TRAIN = "train"

_SLICE = r"([\w.-]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?"
_SHARD = r"(.+)-\d{5}-of-(\d{5})\b"
_BETWEEN_WORDS = r"[-._ 0-9/]+"
"""Expressions that are compiled when they are first used: most plans look at files that they know by name."""
_KEYWORDS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("validation", "valid", "dev", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""The words in names of files and folders that tell a split, as in `datasets/data_files.py` (5.2)."""


@frozen
class Slice:
    """A split's name ("" for all that there is), where to begin and to end: rows, per cent, from the end if below 0."""

    split: str
    start: str = ""
    end: str = ""

    @property
    def needs_count(self) -> bool:
        """Whether the bounds can only be told once all rows were counted."""
        return any("%" in bound or "-" in bound for bound in (self.start, self.end))

    def bounds(self, count: int) -> tuple[int, int]:
        """The rows to take of so many, rounded to the closest row as `datasets` rounds."""
        return _bound(self.start, 0, count), _bound(self.end, count, count)

    def cut(self, rows: Iterable[T], count: int) -> Iterator[T]:
        """The rows of the slice; `count` is only looked at if it is needed."""
        if self.needs_count:
            return islice(rows, *self.bounds(count))
        return islice(rows, int(self.start or 0), int(self.end) if self.end else None)


def parse(text: str) -> tuple[Slice, ...]:
    """The slices that a `split` names; raises ValueError for what is none."""
    found = [re.fullmatch(_SLICE, part.strip()) for part in text.split("+")]
    slices = [Slice(one[1], one[2] or "", one[3] or "") for one in found if one is not None]
    if len(slices) < len(found):
        message = f"expected a split such as train, train[:10%] or train+test, got {text!r}"
        raise ValueError(message)
    return tuple(slices)


def split_of(name: str) -> str:
    """The split that a file's name or one of its folders tells; "" where they tell none."""
    shard = re.match(_SHARD, name.rpartition("/")[2])
    if shard is not None:
        return shard[1]
    words = re.split(_BETWEEN_WORDS, name.lower())
    return next((_KEYWORDS[word] for word in words if word in _KEYWORDS), "")


def told(names: Iterable[str]) -> list[str]:
    """The splits that names tell; `train` where none does."""
    return sorted({split_of(name) for name in names} - {""}) or [TRAIN]


def of_split(names: Iterable[str], split: str) -> list[str]:
    """The names that belong to a split; where no name tells any, all belong to `train`."""
    told = {name: split_of(name) for name in names}
    if not any(told.values()):
        told = dict.fromkeys(told, TRAIN)
    wanted = {split, _KEYWORDS.get(split, split)}
    return [name for name, found in told.items() if not split or found in wanted]


def unknown(source: str, split: str, known: Iterable[str]) -> ProblemError:
    """What is said of a split that no file belongs to."""
    detail = f"No file of `{source}` belongs to the split `{split}`; there are: {', '.join(known)}."
    return problem("Unknown split", detail, "Splits are told by the names of files and folders, or by a card.")


def missing_shards(names: Iterable[str]) -> str:
    """The first file that says of how many it is one, while not all of them are here; "" if there is none."""
    groups: dict[str, list[str]] = {}
    for name in names:
        if shard := re.match(_SHARD, name):
            groups.setdefault(f"{shard[1]} {shard[2]} {PurePath(name).suffix}", []).append(name)
    return next((found[0] for key, found in groups.items() if len(found) < int(key.split()[-2])), "")


def _bound(text: str, default: int, count: int) -> int:
    if not text:
        return default
    number = round(int(text[:-1]) * count / 100) if text.endswith("%") else int(text)
    return min(max(number + count, 0) if number < 0 else number, count)
