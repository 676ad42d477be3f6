"""Where exports go: a folder, an object store or the hub. What is there is an export of ours, or left alone."""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path

from executor.audit.papers import FILES, sha256
from executor.publishing.hub_repository import HubRepository
from executor.publishing.publication import AUDIT, SUMS, files_of, read_sums
from executor.workers.worker_reports import Reporter
from state.backend import Backend
from state.diagnostic import problem
from state.durable import durable_copy, sync_folder
from state.locations import STORES, open_backend
from state.values import frozen

FORMS = "`to` is a folder, `s3://bucket/folder` (or `gs://`, `az://`), or `hub:organisation/name`."
UNFINISHED = f"{SUMS}.unfinished"
"""Stands in an object store for the list of digests while files are exchanged: what is named in it is ours."""
OF_HUB = ".gitattributes"
"""A file that the hub itself puts into a repository."""
_HUB = re.compile(r"hub:([A-Za-z0-9][\w.-]*/[\w.-]+)")
_PROOF = f"{AUDIT}/{FILES['provenance']}"
"""A list of digests that does not name it is not one of ours."""


class Destination(ABC):
    """A place for exports, under the name that the recipe gives it."""

    name: str

    @abstractmethod
    def check(self) -> None:
        """Raise a problem if it holds what no export of ours has put there; nothing is written."""

    @abstractmethod
    def deliver(self, folder: Path, reporter: Reporter) -> bool:
        """Make the place hold exactly the files of a finished folder; False if it held them already."""


@frozen
class FolderDestination(Destination):
    """A folder of this machine, replaced as a whole."""

    name: str
    path: Path

    def check(self) -> None:
        """Refuse a file, and a folder with files that are not ours."""
        if self.path.exists() and not self.path.is_dir():
            raise problem("Wrong destination", f"`{self.name}` is a file.", FORMS)
        if self.path.is_dir():
            sums = self.path / SUMS
            _refuse_foreign(self.name, files_of(self.path), read_sums(sums.read_bytes()) if sums.is_file() else ())

    def deliver(self, folder: Path, reporter: Reporter) -> bool:
        """Copy to beside the place, then rename: what is seen there is the old export or the new one."""
        names = files_of(folder)
        there = files_of(self.path) if self.path.is_dir() else []
        if there == names and all(sha256(self.path / name) == sha256(folder / name) for name in names):
            return False
        arriving, leaving = (self.path.with_name(f".{self.path.name}.{word}") for word in ("arriving", "leaving"))
        for one in (arriving, leaving):
            shutil.rmtree(one, ignore_errors=True)
        for number, name in enumerate(names, start=1):
            durable_copy(folder / name, arriving / name, lambda _: None)
            reporter.progress(number, len(names), "files")
        if self.path.exists():
            self.path.rename(leaving)
        arriving.rename(self.path)
        sync_folder(self.path.parent)
        shutil.rmtree(leaving, ignore_errors=True)
        return True


@frozen
class StoreDestination(Destination):
    """A folder in an object store: the list of digests goes first and comes last."""

    name: str
    backend: Backend

    def check(self) -> None:
        """Refuse objects that are not ours."""
        _refuse_foreign(self.name, self._found(), {**self._named(SUMS), **self._named(UNFINISHED)})

    def deliver(self, folder: Path, reporter: Reporter) -> bool:
        """Exchange what differs; whoever finds a list of digests finds everything that it names."""
        sums, before, found = (folder / SUMS).read_bytes(), self._named(SUMS), self._found()
        after = read_sums(sums)
        if before == after and {*found} == {*after, SUMS}:
            return False
        names = "".join(
            f"{digest}  {name}\n" for name, digest in {**before, **self._named(UNFINISHED), **after}.items()
        )
        self.backend.delete(UNFINISHED)
        self.backend.put_if_absent(UNFINISHED, names.encode())
        self.backend.delete(SUMS)
        for number, (name, digest) in enumerate(after.items(), start=1):
            if name not in found or before.get(name) != digest:
                self.backend.upload(name, folder / name, lambda _: None)
            reporter.progress(number, len(after), "files")
        for name in found:
            if name not in {*after, SUMS, UNFINISHED}:
                self.backend.delete(name)
        self.backend.put_if_absent(SUMS, sums)
        self.backend.delete(UNFINISHED)
        return True

    def _found(self) -> list[str]:
        return [one.name for one in self.backend.list("")]

    def _named(self, name: str) -> dict[str, str]:
        stored = self.backend.get(name)
        return read_sums(stored.content) if stored is not None else {}


@frozen
class HubDestination(Destination):
    """A repository on the Hugging Face hub, changed in one commit."""

    name: str
    repository: HubRepository

    def check(self) -> None:
        """Refuse a repository with files that are not ours."""
        found = [name for name in self.repository.files() if name != OF_HUB]
        _refuse_foreign(self.name, found, read_sums(self.repository.read(SUMS)) if SUMS in found else ())

    def deliver(self, folder: Path, reporter: Reporter) -> bool:
        """Create the repository if need be, and commit what differs."""
        found = self.repository.files()
        if SUMS in found and self.repository.read(SUMS) == (folder / SUMS).read_bytes():
            return False
        gone = [name for name in found if name != OF_HUB and not (folder / name).is_file()]
        reporter.message(f"uploading to {self.name}")
        self.repository.commit(folder, gone)
        return True


def destination(name: str, recipe_folder: Path, *, private: bool) -> Destination:
    """The place that a recipe names; a problem for what names none. Nothing is asked or sent yet."""
    hub = _HUB.fullmatch(name)
    if hub:
        return HubDestination(name, HubRepository(hub[1], private))
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", name)
    if scheme is None:
        return FolderDestination(name, recipe_folder / name)
    if scheme[1] not in STORES:
        raise problem("Unknown destination", f"`{scheme[0]}…` is no kind of destination that tune knows.", FORMS)
    return StoreDestination(name, open_backend(name, recipe_folder))


def _refuse_foreign(name: str, found: Collection[str], named: Collection[str]) -> None:
    """Nothing that somebody else put there is replaced or removed."""
    foreign = sorted(one for one in found if one not in {*named, SUMS, UNFINISHED} or _PROOF not in named)
    if foreign:
        detail = f"`{name}` holds `{foreign[0]}`, which no export of tune put there."
        raise problem(
            "Foreign files", detail, "Name an empty place, or one that tune has exported to; nothing was written."
        )
