"""Which files a source names: paths, globs and folders, relative to a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from executor.sources.file_formats import suffix

_ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files that `datasets` writes beside rows."""


def source_files(sources: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """The files that paths, globs and folders name, relative to a folder; globs and folders in sorted order."""
    files: dict[Path, None] = {}
    for source in sources:
        path = folder / source
        if path.is_dir():
            found = folder_files(path)
        elif is_glob(source):
            found = _matching(source, folder)
        else:
            found = [path] if path.is_file() else []
        files |= dict.fromkeys(found)
    return tuple(files)


def is_address(source: str) -> bool:
    """Whether a source lies in object storage."""
    return "://" in source


def is_glob(source: str) -> bool:
    """Whether a source is a pattern."""
    return any(character in source for character in "*?[")


def folder_files(folder: Path) -> list[Path]:
    """The data files in a folder and those below it; none where there is no such folder."""
    return [folder / name for name in folder_names(folder)]


def folder_names(folder: Path) -> list[str]:
    """The same files by their paths from the folder on."""
    return data_files(_below(folder, "") if folder.is_dir() else ())


def _below(folder: str | Path, prefix: str) -> Iterator[str]:
    """All files in a folder and those below it, but for folders behind links.

    By names: there may be ten thousand, and a path takes longer to make than a look at its file.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield prefix + entry.name


def data_files(names: Iterable[str]) -> list[str]:
    """The names of files that hold rows, sorted; plain texts only where there is nothing else."""
    found = sorted(name for name in names if suffix(name) and _holds_rows(name))
    return [name for name in found if suffix(name) != ".txt"] or found


def _holds_rows(name: str) -> bool:
    return name.rpartition("/")[2] not in _ABOUT and "/." not in f"/{name}"


def _matching(pattern: str, folder: Path) -> list[Path]:
    """The files that a pattern finds; one that starts at the root is looked up from there."""
    path = Path(pattern)
    root = Path(path.anchor) if path.is_absolute() else folder
    return sorted(one for one in root.glob(pattern.removeprefix(path.anchor)) if one.is_file())
