"""What a place for shared state must be able to do: named objects, each changed only over what was read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from state.values import frozen

Moved: TypeAlias = Callable[[int], None]
"""Told how many more bytes were transferred."""


class ConflictError(Exception):
    """An object is not what the writer believed it to be: somebody else was faster, and nothing was changed."""


@frozen
class Stored:
    """An object as it was read."""

    content: bytes
    version: str
    """Names exactly this content at this place, for `put_if_match`; opaque."""


@frozen
class Listed:
    """An object as a listing shows it."""

    name: str
    size: int
    """Bytes."""
    modified: float
    """Seconds since the epoch, by the clock of whoever stores it."""


class Backend(ABC):
    """Objects by name; names are relative paths with `/`.

    All methods raise ProblemError if the place cannot be reached. A write whose answer is lost must be found out by
    reading again, never reported as a conflict with itself.
    """

    where: str
    """How messages name the place: `.tune`, or a URL without secrets."""

    @abstractmethod
    def get(self, name: str) -> Stored | None:
        """An object, or None if there is none."""

    @abstractmethod
    def put_if_absent(self, name: str, content: bytes) -> str:
        """Create an object and return its version; raises ConflictError if there is one of other content."""

    @abstractmethod
    def put_if_match(self, name: str, content: bytes, version: str) -> str:
        """Replace an object of this version and return the new version; raises ConflictError if it is another."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[Listed]:
        """All objects whose names start with a prefix (a folder with its `/`, or ""), sorted by name."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove an object; nothing happens if there is none."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of an object, or None if there is none."""

    @abstractmethod
    def upload(self, name: str, path: Path, moved: Moved) -> None:
        """Store a file of any size under a name that is derived from its content, so that overwriting is harmless."""

    @abstractmethod
    def download(self, name: str, path: Path, moved: Moved) -> None:
        """Append to a file what it lacks of an object, from the byte at which the file ends; create it if need be.

        Raises FileNotFoundError if there is no such object. What has arrived stays if the rest does not.
        """
