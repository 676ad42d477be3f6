"""Everything that carries a digest, checked against it: state, journal, history, artifacts, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from attrs import field

from state import artifacts
from state.diagnostic import Diagnostic, Place, ProblemError
from state.journal import Journal, fold
from state.layout import Layout
from state.record import EMPTY, Record, State
from state.shared_store import SharedStore
from state.store import Store
from state.values import mutable

T = TypeVar("T")

HINT = "Remove its folder to have it made again, or restore it from a backup."


@mutable
class Verification:
    """What was checked, and what is wrong; nothing is repaired."""

    store: Store
    layout: Layout
    shared: SharedStore | None
    address: str = ""
    """What to look at, if not at all."""
    checked: dict[str, int] = field(factory=dict, init=False)
    """How many of what were looked at, whether right or wrong."""
    found: list[Diagnostic] = field(factory=list, init=False)

    def run(self) -> None:
        """Check everything, however much of it is broken."""
        state = self._try(self.store.load, "state") or EMPTY
        journal = Journal(self.store.backend)
        self._try(lambda: fold(state, journal.read(state)), "journal")
        if not self.address:
            self._history(state)
        for address, record in _records(state):
            if self.address not in ("", address):
                continue
            self._artifact(address, record)
            self._checkpoints(address, record)
            self._shared(address, record)
            if record.kind == "export" and state.records.get(address) == record:
                self._exported(address, record)

    def _history(self, state: State) -> None:
        entries = self.store.history.newest_first(state)
        try:
            for _ in entries:
                self._count("history entries")
            told = self.store.history.records_at(state, state.serial)
        except ProblemError as error:
            self.found += error.diagnostics
        else:
            if told != dict(state.records):
                wrong = sorted(name for name in told.keys() | state.records.keys() if not _same(told, state, name))
                detail = f"State and history disagree about {', '.join(wrong)}."
                hint = "Compare with `tune state log`; restore the state from version control or a backup."
                self.found.append(Diagnostic("State without history", detail, hint, Place(self.store.file)))

    def _artifact(self, address: str, record: Record) -> None:
        folder = self.layout.root / record.artifact
        if not record.artifact or not folder.exists():
            return
        self._count("artifacts")
        name = f".tune/{record.artifact}"
        try:
            manifest = artifacts.read(folder)
            if manifest is None:
                wrong: tuple[str, ...] = ("files are missing or have another size",)
            elif record.files and manifest.digests != record.files:
                wrong = ("its manifest names other files than the state does",)
            else:
                wrong = tuple(f"`{path}` has changed" for path in artifacts.verify(folder))
        except ProblemError as error:
            self.found += error.diagnostics
            return
        if wrong:
            detail = f"The artifact of {address} is not what was made: {'; '.join(wrong)}."
            self.found.append(Diagnostic("Changed artifact", detail, HINT, Place(name)))

    def _exported(self, address: str, record: Record) -> None:
        """What lies in a folder; an object store or the hub is taken at its word."""
        from executor.publishing.destinations import FolderDestination, destination
        from executor.publishing.publication import changed

        place = destination(str(record.settings["to"]), self.layout.recipe_folder, private=True)
        if not record.output_digest or not isinstance(place, FolderDestination) or not place.path.exists():
            return
        self._count("exports")
        if wrong := changed(place.path, record):
            detail = (
                f"The folder of {address} is not what was exported: {', '.join(f'`{one}`' for one in wrong)} changed."
            )
            hint = "Remove the folder, and `tune apply` exports again."
            self.found.append(Diagnostic("Changed artifact", detail, hint, Place(place.name)))

    def _checkpoints(self, address: str, record: Record) -> None:
        for one in record.checkpoints:
            folder = self.layout.root / one.folder
            if not folder.exists():
                continue
            self._count("checkpoints")
            try:
                manifest = artifacts.read(folder)
                whole = manifest is not None and manifest.digest == one.digest and not artifacts.verify(folder)
            except ProblemError as error:
                self.found += error.diagnostics
                continue
            if not whole:
                detail = f"The checkpoint of step {one.step} of {address} is not what was written."
                hint = "Remove its folder: the next plan continues from an earlier one, or anew."
                self.found.append(Diagnostic("Changed checkpoint", detail, hint, Place(f".tune/{one.folder}")))

    def _shared(self, address: str, record: Record) -> None:
        if self.shared is None or not record.artifact:
            return
        self._count("shared artifacts")
        shared = self.shared
        before = len(self.found)
        found = self._try(lambda: shared.find(record.action_key), "")
        if len(self.found) > before:
            return
        if found is None:
            detail = f"The artifact of {address} is not in {shared.backend.where}."
            hint = "`tune apply` on the machine that has it uploads it."
            self.found.append(Diagnostic("Not shared", detail, hint))
        elif record.files and found.manifest.digests != record.files:
            detail = f"{shared.backend.where} holds other files for {address} than the state names."
            self.found.append(Diagnostic("Changed artifact", detail, HINT))

    def _try(self, action: Callable[[], T], what: str) -> T | None:
        """The result, or None with the problem noted."""
        if what:
            self._count(what)
        try:
            return action()
        except ProblemError as error:
            self.found += error.diagnostics
            return None

    def _count(self, what: str) -> None:
        self.checked[what] = self.checked.get(what, 0) + 1


def _records(state: State) -> Iterator[tuple[str, Record]]:
    yield from sorted(state.records.items())
    yield from ((one.address, one.record) for _, one in sorted(state.superseded.items()))


def _same(told: dict[str, Record], state: State, name: str) -> bool:
    return told.get(name) == state.records.get(name)
