"""Files of earlier artifacts that hold what would be written again: taken over when they are proved to be whole."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from state import artifacts
from state.artifacts import FileEntry
from state.diagnostic import ProblemError
from state.files import digest_file
from state.values import frozen

_LAYOUT = 2
"""Raised when files are written otherwise, so that none of an earlier layout is taken for one of these."""
_NAME = re.compile(rf"[a-z]+-\d+-([0-9a-f]{{32}})\.{_LAYOUT}\.arrow")
_MOST_ARTIFACTS = 16
"""The newest of so many are looked at: reading a manifest takes a millisecond."""


def file_name(place: str, content: str) -> str:
    """The name of a file at a place in a split, by which what it holds is found again."""
    return f"{place}-{content}.{_LAYOUT}.arrow"


@frozen
class EarlierFiles:
    """Where files lie by what they hold, as the manifests of finished artifacts say."""

    found: Mapping[str, tuple[Path, FileEntry]]

    @classmethod
    def beside(cls, folder: Path) -> Self:
        """Those of the finished artifacts that lie beside one that is being made."""
        manifests = (one / artifacts.MANIFEST for one in folder.parent.iterdir() if one != folder)
        newest = sorted(filter(Path.is_file, manifests), key=_age)[:_MOST_ARTIFACTS]
        named = ((path.parent, entry) for path in newest for entry in _entries(path.parent))
        matched = ((_NAME.fullmatch(entry.path), one, entry) for one, entry in named)
        return cls({match[1]: (one / entry.path, entry) for match, one, entry in matched if match})

    def take(self, content: str, target: Path) -> bool:
        """Have the file that holds something be the target, too; False if there is none whose bytes are as they were.

        It is one file in two folders: a copy would take as long as writing it anew. What is checked is the target, so
        nobody can put another file in its place in between.
        """
        if content not in self.found:
            return False
        source, entry = self.found[content]
        try:
            os.link(source, target)
        except OSError:  # it is gone, somebody else's, or on a file system without links
            return False
        if target.stat().st_size == entry.size and digest_file(target) == entry.digest:
            return True
        target.unlink()
        return False


def _age(manifest: Path) -> float:
    return -manifest.stat().st_mtime


def _entries(folder: Path) -> tuple[FileEntry, ...]:
    """The files of an artifact; none where something is missing or was changed."""
    try:
        manifest = artifacts.read(folder)
    except ProblemError:
        return ()
    return () if manifest is None else manifest.files
