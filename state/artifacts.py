"""Folders of files with a manifest that is written last: without it the folder does not exist."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath

from attrs import field, frozen

from state.canonical import Plain, digest
from state.durable import sync_tree, write_atomically
from state.files import digest_file
from state.format import from_plain, record_to_plain

MANIFEST = "manifest.json"
FORMAT = "tune-manifest/1"


@frozen
class FileEntry:
    """One file of a folder: its path in it, its size in bytes, the xxh3-128 of its bytes."""

    path: str
    size: int
    digest: str


@frozen
class Manifest:
    """What a complete folder holds, and whatever its maker wants to be found again with it."""

    files: tuple[FileEntry, ...]
    notes: dict[str, Plain] = field(factory=dict)
    format: str = FORMAT

    @property
    def digest(self) -> str:
        """Of all files: their paths, sizes and bytes."""
        return digest([record_to_plain(entry) for entry in self.files])


def publish(folder: Path, notes: dict[str, Plain]) -> Manifest:
    """Make every file of a folder durable, then write the manifest that makes the folder exist."""
    sync_tree(folder)
    manifest = Manifest(_entries(folder), notes)
    content = json.dumps(record_to_plain(manifest), indent=1, sort_keys=True).encode()
    write_atomically(folder / MANIFEST, content + b"\n")
    return manifest


def read(folder: Path) -> Manifest | None:
    """The manifest of a complete folder whose files are all there with their sizes; None for anything less."""
    try:
        manifest = from_plain(json.loads((folder / MANIFEST).read_bytes()), Manifest)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if manifest.format != FORMAT or not all(_stays_inside(entry.path) for entry in manifest.files):
        return None
    return manifest if all(_size(folder / entry.path) == entry.size for entry in manifest.files) else None


def verify(folder: Path) -> tuple[str, ...]:
    """The paths of files that are missing or whose bytes have changed; all of them if there is no manifest."""
    manifest = read(folder)
    if manifest is None:
        return (MANIFEST,)
    return tuple(entry.path for entry in manifest.files if digest_file(folder / entry.path) != entry.digest)


def discard_incomplete(folder: Path) -> None:
    """Remove what an earlier attempt left behind, unless it is complete."""
    if folder.exists() and read(folder) is None:
        shutil.rmtree(folder)


def remove(folder: Path) -> None:
    """Remove a folder, its manifest first, so that no instant shows a manifest without its files."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _entries(folder: Path) -> tuple[FileEntry, ...]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return tuple(
        FileEntry(path.relative_to(folder).as_posix(), path.stat().st_size, digest_file(path)) for path in paths
    )


def _stays_inside(path: str) -> bool:
    """Whether a path can only lead to a file below the folder that it is joined to."""
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
