"""Folders of files with a manifest that is written last: without it the folder does not exist.

A manifest carries a digest of itself. One that does not match it was damaged after it was written, and that is a
problem for a person to hear of: nothing is built again, or removed, because of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from attrs import field

from state.canonical import Plain, digest, matches
from state.diagnostic import Place, ProblemError, problem
from state.durable import sync_tree, write_atomically
from state.files import digest_files
from state.plain import from_plain, record_to_plain
from state.values import frozen

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

    @property
    def digests(self) -> dict[str, str]:
        """The xxh3-128 of every file, by its path."""
        return {entry.path: entry.digest for entry in self.files}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)


def publish(folder: Path, notes: dict[str, Plain]) -> Manifest:
    """Make every file of a folder durable, then write the manifest that makes the folder exist.

    Raises OSError, naming the file, where the disk refuses.
    """
    sync_tree(folder)
    manifest = Manifest(_entries(folder), notes)
    write_atomically(folder / MANIFEST, to_bytes(manifest))
    return manifest


def read(folder: Path) -> Manifest | None:
    """The manifest of a complete folder whose files are all there with their sizes; None for anything less.

    Raises ProblemError for a manifest that was damaged.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        detail, hint = f"The manifest cannot be read: {error.strerror}.", "Make it readable, or remove its folder."
        raise problem("Unreadable manifest", detail, hint, Place(str(path))) from None
    manifest = parse(content, str(path))
    return manifest if all(_size(folder / entry.path) == entry.size for entry in manifest.files) else None


def to_bytes(manifest: Manifest) -> bytes:
    """A manifest as it is stored, with its own digest."""
    body = record_to_plain(manifest)
    return _encoded({**body, "digest": digest(body)})


def _encoded(body: Mapping[str, Plain]) -> bytes:
    return json.dumps(body, indent=1, sort_keys=True).encode() + b"\n"


def parse(content: bytes, file: str) -> Manifest:
    """The manifest in a file's bytes; raises ProblemError, naming the file, for one that cannot be trusted."""
    try:
        body = json.loads(content)
        if body["format"] != FORMAT:
            raise _untrusted(file, f"it has the format {body['format']!a}, and this tune reads {FORMAT}")
        # Byte for byte as we write it: what merely means the same was changed by somebody, too.
        if content != _encoded(body) or not matches(body.pop("digest"), body):
            raise _untrusted(file, "its content does not match its own digest: it was edited or damaged")
        manifest = from_plain(body, Manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _untrusted(file, f"it is no manifest: {error}") from None
    outside = [entry.path for entry in manifest.files if not _stays_inside(entry.path)]
    if outside:
        raise _untrusted(file, f"it names {outside[0]!a}, which leads out of its folder")
    return manifest


def _untrusted(file: str, why: str) -> ProblemError:
    hint = "Remove its folder to have what it describes made again; `tune state verify` checks all artifacts."
    return problem("Damaged manifest", f"The manifest cannot be trusted: {why}.", hint, Place(file))


def verify(folder: Path) -> tuple[str, ...]:
    """The paths of files that are missing or whose bytes have changed; all of them if there is no manifest."""
    manifest = read(folder)
    if manifest is None:
        return (MANIFEST,)
    found = digest_files([(path, path.stat()) for path in (folder / entry.path for entry in manifest.files)])
    return tuple(entry.path for entry, digest in zip(manifest.files, found, strict=True) if digest != entry.digest)


def discard_incomplete(folder: Path) -> None:
    """Remove what an earlier attempt left behind, unless it is complete."""
    import shutil

    if folder.exists() and read(folder) is None:
        shutil.rmtree(folder)


def remove(folder: Path) -> None:
    """Remove a folder, its manifest first, so that no instant shows a manifest without its files."""
    import shutil

    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _entries(folder: Path) -> tuple[FileEntry, ...]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    files = [(path, path.stat()) for path in paths]
    return tuple(
        FileEntry(path.relative_to(folder).as_posix(), status.st_size, digest)
        for (path, status), digest in zip(files, digest_files(files), strict=True)
    )


def _stays_inside(path: str) -> bool:
    """Whether a path can only lead to a file below the folder that it is joined to."""
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and "\0" not in path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
