"""Raw rows: which files a source names, and what is in them, with file and line for everything that is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

from state.canonical import Plain
from state.diagnostic import Place

MOST_REPORTED = 20
"""Broken rows shown one by one; the rest are counted."""


@frozen
class Row:
    """One row of a data file."""

    place: Place
    values: dict[str, Plain]


@frozen
class BrokenRow:
    """A line that is no row, and why."""

    place: Place
    why: str


def source_files(sources: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """The files that paths, globs and folders name, relative to a folder; globs and folders in sorted order."""
    files: dict[Path, None] = {}
    for source in sources:
        path = folder / source
        if path.is_dir():
            found = sorted(path.glob("*.jsonl"))
        elif any(character in source for character in "*?["):
            found = sorted(one for one in folder.glob(source) if one.is_file())
        else:
            found = [path] if path.is_file() else []
        files |= dict.fromkeys(found)
    return tuple(files)


def read_rows(file: Path, name: str) -> Iterator[Row | BrokenRow]:
    """Every non-blank line of a JSONL file; `name` is how messages call the file."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _parse(line, Place(name, number))


def _parse(line: bytes, place: Place) -> Row | BrokenRow:
    try:
        values = json.loads(line)
    except UnicodeDecodeError:
        return BrokenRow(place, "is not UTF-8")
    except ValueError as error:
        return BrokenRow(place, f"is not JSON: {error}")
    except RecursionError:
        return BrokenRow(place, "is nested too deeply")
    if not isinstance(values, dict):
        return BrokenRow(place, "is not a JSON object")
    return Row(place, values)
