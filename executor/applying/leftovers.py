"""Files and folders below `.tune/` that nothing names: found without following a symbolic link, and removed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePosixPath

from attrs import field

from state import artifacts
from state.artifacts import MANIFEST
from state.diagnostic import Diagnostic, ProblemError
from state.layout import Layout
from state.values import frozen, mutable

TREES = ("artifacts", "checkpoints")
"""Folders that hold KIND/NAME/KEY."""
DEPTH = 3
SCRATCH = "merge-"
"""Start of the names of folders in which merges put what lies between two adapters."""
TEMPORARY_SECONDS = 24 * 3600.0
"""Age at which a temporary file cannot be one that is being written."""


@frozen
class Found:
    """A file or folder that nothing needs, as far as records say."""

    path: str
    """Below `.tune/`."""
    why: str
    size: int
    """Bytes that are free once it is gone, and what was found before it."""
    modified: float
    """Seconds since the epoch."""


@mutable
class _Search:
    """One walk over `.tune/`."""

    root: Path
    needed: AbstractSet[str]
    above: AbstractSet[str]
    """All folders that something needed lies in."""
    found: list[Found] = field(factory=list)
    links: list[str] = field(factory=list)
    _names: Counter[tuple[int, int]] = field(factory=Counter, init=False)
    """How many names were found of each file that has several, by device and inode."""

    def tree(self, folder: Path, depth: int) -> None:
        """Note what is not needed among the folders `depth` levels below this one."""
        for child in self.folders(folder):
            path = self._relative(child)
            if depth > 1:
                self.tree(child, depth - 1)
            elif path in self.above:
                self.checkpoints(child)
            elif path not in self.needed:
                whole = (child / MANIFEST).exists() or any(child.glob(f"*/{MANIFEST}"))
                self.add(child, "named by no record" if whole else "incomplete, and nothing would finish it")

    def checkpoints(self, run: Path) -> None:
        """Note what is not needed of a run of which some checkpoint is."""
        for child in self.folders(run):
            if child.name.startswith("checkpoint-") and self._relative(child) not in self.needed:
                self.add(child, "a checkpoint named by no record")

    def folders(self, folder: Path) -> Iterator[Path]:
        """The folders in a folder."""
        if folder.is_symlink():
            self.links.append(self._relative(folder))
            return
        for child in sorted(folder.iterdir()) if folder.is_dir() else ():
            if child.is_symlink():
                self.links.append(self._relative(child))
            elif child.is_dir():
                yield child

    def add(self, path: Path, why: str) -> None:
        """Note one."""
        size = sum(map(self._freed, _files(path) if path.is_dir() else [path]))
        self.found.append(Found(self._relative(path), why, size, path.lstat().st_mtime))

    def _freed(self, path: Path) -> int:
        """The bytes that removing a file frees: none while it has another name, as token files of several artifacts."""
        status = path.lstat()
        if status.st_nlink > 1:
            self._names[status.st_dev, status.st_ino] += 1
            if self._names[status.st_dev, status.st_ino] < status.st_nlink:
                return 0
        return status.st_size

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def search(
    layout: Layout, needed: AbstractSet[str], runs: AbstractSet[str], now: float
) -> tuple[list[Found], tuple[str, ...]]:
    """What is neither needed nor a log of these runs, and the symbolic links that were met.

    To be called while no other process works in the folder, or to show what would go.
    """
    above = {str(parent) for path in needed for parent in PurePosixPath(path).parents}
    looking = _Search(layout.root, needed, above)
    for tree in TREES:
        looking.tree(layout.root / tree, DEPTH)
    for child in looking.folders(layout.root / "uploads"):
        looking.add(child, "left by an upload that was killed")
    scratch = layout.root.glob(f"{SCRATCH}*")
    for child in sorted(one for one in scratch if one.is_dir() and not one.is_symlink()):
        looking.add(child, "left by a merge that was killed")
    folder = layout.root / "logs"
    for log in sorted(folder.glob("*.log")) if not folder.is_symlink() else ():
        # By the run alone: its address may be another one now, and each of its ranks has a log.
        run = log.name.rpartition("-")[2].partition(".")[0]
        if run not in runs and not log.is_symlink():
            looking.add(log, "the log of a step that no record is of")
    gone = [layout.root / one.path for one in looking.found]
    for path in _temporary(layout.root, gone, now):
        looking.add(path, "a temporary file of a process that was killed")
    return looking.found, tuple(looking.links)


def leads_away(folders: Iterable[str], layout: Layout) -> bool:
    """Whether one of some folders below `.tune/` is not really there: behind a symbolic link, or outside."""
    for folder in folders:
        pure = PurePosixPath(folder)
        if pure.is_absolute() or ".." in pure.parts:
            return True
        ways = (layout.root / pure, *((layout.root / pure).parents[: len(pure.parts) - 1]))
        if any(way.is_symlink() for way in ways):
            return True
    return False


def remove(paths: Iterable[str], layout: Layout) -> None:
    """Remove files and folders below `.tune/`; raises ProblemError with all that could not be removed."""
    stuck = []
    for one in paths:
        if not _is_removed(layout.root / one, layout):
            detail = f"`.tune/{one}` could not be removed, or not all of it."
            stuck.append(Diagnostic("Not removed", detail, "Find out who owns it, and run `tune gc` again."))
    if stuck:
        raise ProblemError(stuck)


def _is_removed(path: Path, layout: Layout) -> bool:
    try:
        if path.is_dir():
            artifacts.remove(path)
            _remove_empty_parents(path, layout)
        else:
            path.unlink(missing_ok=True)
        return not path.exists()
    except OSError:
        return False


def _remove_empty_parents(path: Path, layout: Layout) -> None:
    """Remove the folders around something that was removed, if nothing else is in them."""
    for parent in path.parents:
        if parent == layout.root or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root) / name for name in names)


def _temporary(root: Path, gone: Iterable[Path], now: float) -> Iterator[Path]:
    """Temporary files of `state.durable` that are old enough, outside what goes as a whole."""
    going = set(gone)
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if Path(folder) / name not in going)
        for name in sorted(files):
            path = Path(folder) / name
            if not (name.startswith(".") and name.endswith(".tmp")) or path.is_symlink():
                continue
            if now - path.lstat().st_mtime >= TEMPORARY_SECONDS:
                yield path
