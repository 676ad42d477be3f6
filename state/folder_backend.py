"""A folder as a place for shared state: this machine's disk, or a network file system that many mount."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from state.backend import Backend, ConflictError, Listed, Moved, Stored
from state.canonical import digest_bytes
from state.diagnostic import ProblemError, problem
from state.durable import durable_copy, write_atomically
from state.values import frozen

GUARD = "guard"
"""Never replaced and always empty: held with flock(2) for the instant in which an object changes hands."""
PIECE = 1 << 20


@frozen
class FolderBackend(Backend):
    """Objects as files below one folder; a version is the digest of the bytes."""

    root: Path
    where: str

    def get(self, name: str) -> Stored | None:
        """An object, or None if there is none."""
        try:
            content = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreachable(name, error) from None
        return Stored(content, digest_bytes(content))

    def put_if_absent(self, name: str, content: bytes) -> str:
        """Create an object; ConflictError if there is one of other content."""
        with self._guarded(name):
            there = self.get(name)
            if there is None:
                write_atomically(self._path(name), content)
            elif there.content != content:
                raise ConflictError(name)
        return digest_bytes(content)

    def put_if_match(self, name: str, content: bytes, version: str) -> str:
        """Replace an object of this version; ConflictError if it is another."""
        with self._guarded(name):
            there = self.get(name)
            if there is None or there.version != version:
                raise ConflictError(name)
            write_atomically(self._path(name), content)
        return digest_bytes(content)

    def list(self, prefix: str) -> Iterator[Listed]:
        """All objects whose names start with a prefix, sorted by name."""
        folder = self._path(prefix.rpartition("/")[0]) if "/" in prefix else self.root
        found = []
        for parent, _, names in os.walk(folder):
            for file in names:
                path = Path(parent) / file
                name = path.relative_to(self.root).as_posix()
                if name.startswith(prefix) and name != GUARD and not file.startswith("."):
                    with suppress(FileNotFoundError):  # it went while we looked
                        status = path.stat()
                        found.append(Listed(name, status.st_size, status.st_mtime))
        yield from sorted(found, key=lambda one: one.name)

    def delete(self, name: str) -> None:
        """Remove an object; its folder stays, for somebody may be writing into it."""
        with self._guarded(name):
            self._path(name).unlink(missing_ok=True)

    def size(self, name: str) -> int | None:
        """Bytes of an object, or None if there is none."""
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreachable(name, error) from None

    def upload(self, name: str, path: Path, moved: Moved) -> None:
        """Store a copy of a file; it appears under its name when all of it is on the disk."""
        try:
            durable_copy(path, self._path(name), moved)
        except OSError as error:
            raise self._unreachable(name, error) from None

    def download(self, name: str, path: Path, moved: Moved) -> None:
        """Append to a file what it lacks of an object."""
        try:
            with self._path(name).open("rb") as source, path.open("ab") as target:
                source.seek(target.tell())
                while piece := source.read(PIECE):
                    target.write(piece)
                    moved(len(piece))
                target.flush()
                os.fsync(target.fileno())
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unreachable(name, error) from None

    def _path(self, name: str) -> Path:
        if name.startswith("/") or ".." in name.split("/"):
            message = f"{name!r} leads out of the folder"
            raise ValueError(message)
        return self.root / name

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Compare and replace as one action among processes; what the disk refuses is a problem, never a traceback."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / GUARD).open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise self._unreachable(name, error) from None

    def _unreachable(self, name: str, error: OSError) -> ProblemError:
        detail = f"`{self.where}/{name}`: {error.strerror or error}."
        hint = "What was written before is whole. Make room or access, and run the command again."
        return problem("State cannot be reached", detail, hint)
