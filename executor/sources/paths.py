"""Which files a source names: paths, globs and folders, relative to a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from executor.sources.file_formats import suffix
from state.diagnostic import problem

_ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files that `datasets` writes beside rows."""


def source_files(sources: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """The files that paths, globs and folders name, relative to a folder; globs and folders in sorted order.

    Raises ProblemError where one of several sources names nothing: the others alone are not what was asked for.
    """
    found = {source: _named(source, folder) for source in sources}
    absent = [source for source, files in found.items() if not files]
    if absent and len(absent) < len(found):
        detail = f"`{absent[0]}`, one of several sources, matches no file."
        raise problem("Missing file", detail, "Paths are relative to the recipe's folder; remove it if it is gone.")
    return tuple(dict.fromkeys(path for files in found.values() for path in files))


def _named(source: str, folder: Path) -> list[Path]:
    """The files of one source; what is there by the name itself is no pattern, whatever characters it has."""
    path = folder / source
    if path.is_dir():
        return folder_files(path)
    return [path] if path.is_file() else _matching(source, folder) if is_glob(source) else []


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
    return data_files(_below(folder, "", [str(folder)]) if folder.is_dir() else ())


def _below(folder: str | Path, prefix: str, known: list[str]) -> Iterator[str]:
    """All files in a folder and those below it, also behind links that lead out of the folders that are read already.

    By names: there may be ten thousand, and a path takes longer to make than a look at its file.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if not entry.is_symlink() or _leads_out(entry.path, known):
                    yield from _below(entry.path, f"{prefix}{entry.name}/", known)
            elif entry.is_file() or entry.is_symlink():  # a link that leads nowhere is missed when it is read
                yield prefix + entry.name


def _leads_out(link: str, known: list[str]) -> bool:
    """Whether a link leads to a folder that is not read without it, which is then known; never up around itself."""
    target, folders = os.path.realpath(link), [os.path.realpath(one) for one in known]
    if f"{folders[0]}/".startswith(f"{target}/") or any(f"{target}/".startswith(f"{one}/") for one in folders):
        return False
    known.append(target)
    return True


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
    return sorted(one for one in root.glob(pattern.removeprefix(path.anchor)) if one.is_file() or _leads_nowhere(one))


def _leads_nowhere(path: Path) -> bool:
    """Whether a path is a link to nothing, which is missed when it is read."""
    return path.is_symlink() and not path.exists()
