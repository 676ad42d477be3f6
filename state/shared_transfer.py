"""Folders to a shared store and back: many files at a time, what is there already is skipped, all bytes are checked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Lock
from typing import TypeAlias, TypeVar

from attrs import field

from state import artifacts
from state.artifacts import MANIFEST, FileEntry, Manifest
from state.backend import Backend, Moved
from state.diagnostic import ProblemError, problem
from state.durable import sync_folder, sync_tree, write_atomically
from state.files import digest_file
from state.values import mutable

T = TypeVar("T")
Naming: TypeAlias = Callable[[FileEntry], str]
"""Under which name a store holds a file."""

THREADS = 8


@mutable
class _Progress:
    """Told by many threads, tells one at a time, so that whoever counts needs no lock; one failure ends them all."""

    moved: Moved
    _lock: Lock = field(factory=Lock, init=False)
    failure: BaseException | None = field(default=None, init=False)

    def __call__(self, count: int) -> None:
        with self._lock:
            if self.failure is not None:
                raise self.failure
            try:
                self.moved(count)
            except BaseException as error:
                self.failure = error
                raise


def in_parallel(work: Callable[[T, Moved], None], items: Sequence[T], moved: Moved) -> None:
    """Do the work on every item, eight at a time; the first failure, or an interrupt, ends all of it."""
    progress = _Progress(moved)
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(work, item, progress) for item in items]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException as error:
            progress.failure = progress.failure or error
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def upload(backend: Backend, naming: Naming, folder: Path, manifest: Manifest, moved: Moved) -> None:
    """Store the files of a folder that a store does not hold yet; none that is not what the manifest says."""

    def store(entry: FileEntry, progress: Moved) -> None:
        name, path = naming(entry), folder / entry.path
        if backend.size(name) == entry.size:
            return
        if path.is_symlink() or digest_file(path) != entry.digest:
            detail = f"`{path}` is not the file that its manifest describes; it is not shared."
            raise problem("Damaged artifact", detail, "`tune state verify` checks all artifacts.")
        backend.upload(name, path, progress)

    distinct = {naming(entry): entry for entry in manifest.files}
    try:
        in_parallel(store, _largest_first(distinct.values()), moved)
    except OSError as error:
        raise _failed(folder, error) from None


def fetch(backend: Backend, naming: Naming, manifest: Manifest, folder: Path, moved: Moved) -> None:
    """Make a folder whose manifest is this one, or continue to; it appears whole, every byte of it verified.

    What was at its place is removed then.
    Only one process may fetch into a folder at a time: the caller holds the lock of the state that it is for.
    """
    partial = folder.with_name(f".{folder.name}.fetching")

    def bring(entry: FileEntry, progress: Moved) -> None:
        _bring(backend, naming(entry), entry, partial / entry.path, progress)

    try:
        _tidy(partial, manifest)
        _check_space(partial, manifest)
        in_parallel(bring, _largest_first(manifest.files), moved)
        sync_tree(partial)
        write_atomically(partial / MANIFEST, artifacts.to_bytes(manifest))
        artifacts.remove(folder)
        partial.replace(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise _failed(folder, error) from None


def _bring(backend: Backend, name: str, entry: FileEntry, path: Path, moved: Moved) -> None:
    """Download one file, going on from what an earlier attempt left, and prove it."""
    there = backend.size(name)
    if there is None:
        raise _damaged(backend, name, "is missing")
    if there != entry.size:
        raise _damaged(backend, name, f"has {there} bytes instead of {entry.size}")
    path.parent.mkdir(parents=True, exist_ok=True)
    # What was left may be damaged, by a crash before it was on the disk: then once more, from the start.
    for _ in range(2 if path.exists() else 1):
        if _size(path) < entry.size or entry.size == 0:
            try:
                backend.download(name, path, moved)
            except FileNotFoundError:
                raise _damaged(backend, name, "is missing") from None
        if _size(path) == entry.size and digest_file(path) == entry.digest:
            return
        path.unlink()
    raise _damaged(backend, name, "does not have the bytes that its name promises")


def _tidy(folder: Path, manifest: Manifest) -> None:
    """Leave of an earlier attempt only files that the manifest names: no others, and no links that lead elsewhere."""
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    named = {folder / entry.path for entry in manifest.files}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_symlink() or (path.is_file() and path not in named):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _check_space(folder: Path, manifest: Manifest) -> None:
    """Refuse, before the first byte, what the disk cannot hold: also a manifest that claims absurd sizes."""
    lacking = sum(max(0, entry.size - _size(folder / entry.path)) for entry in manifest.files)
    free = shutil.disk_usage(folder).free
    if lacking > free:
        detail = f"{lacking} bytes have to be fetched, and {free} are free beside `{folder.parent}`."
        raise problem("Disk full", detail, "Free some space; nothing was fetched.")


def _largest_first(entries: Iterable[FileEntry]) -> list[FileEntry]:
    """In the order that lets all threads end at about the same time."""
    return sorted(entries, key=lambda entry: entry.size, reverse=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _damaged(backend: Backend, name: str, what: str) -> ProblemError:
    hint = "Remove it there: whoever publishes the same content again puts it back."
    return problem("Damaged shared artifact", f"`{backend.where}/{name}` {what}; nothing of it is used.", hint)


def _failed(folder: Path, error: OSError) -> ProblemError:
    detail = f"`{folder}`: {error.strerror or error}."
    return problem("Transfer failed", detail, "What has arrived is kept; run the command again to go on from there.")
