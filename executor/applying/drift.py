"""What changed behind tune's back: artifacts whose bytes are others, branches of the hub that lead elsewhere by now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attrs import field

from executor.models import hub
from planner.recipe import Recipe
from state import artifacts
from state.diagnostic import Diagnostic, Place, ProblemError, Severity
from state.layout import Layout
from state.record import Record, State
from state.values import mutable


@mutable
class Bytes:
    """Artifacts on this machine, read once to see whether they are what was made."""

    layout: Layout
    changed: dict[str, tuple[str, ...]] = field(factory=dict, init=False)
    """Files that are not as they were, by the artifact's folder below `.tune/`; empty where all are."""

    def differ(self, record: Record) -> bool:
        """Whether the artifact of a record is complete, and something else than what was made."""
        if record.artifact not in self.changed:
            self.changed[record.artifact] = self._changed(self.layout.root / record.artifact, record)
        return bool(self.changed[record.artifact])

    def set_aside(self, folder: Path) -> None:
        """Remove an artifact that is not what was made, so that nothing takes it for what it was."""
        if self.changed.pop(self.layout.relative(folder), ()):
            artifacts.remove(folder)

    def notes(self) -> Iterator[Diagnostic]:
        """A warning for each artifact that has changed."""
        for folder, files in sorted(self.changed.items()):
            if files:
                detail = f"It is not what was made: {', '.join(f'`{one}`' for one in files)} changed since."
                hint = "`tune apply --verify` makes it again; restore it from a backup to keep it."
                yield Diagnostic("Changed artifact", detail, hint, Place(f".tune/{folder}"), Severity.WARNING)

    def _changed(self, folder: Path, record: Record) -> tuple[str, ...]:
        try:
            manifest = artifacts.read(folder)
            if manifest is None:
                return ()  # missing or incomplete, which every plan sees
            if record.files and manifest.digests != record.files:
                return (artifacts.MANIFEST,)
            return artifacts.verify(folder)
        except ProblemError:
            return (artifacts.MANIFEST,)


def moved_revisions(recipe: Recipe, state: State) -> Iterator[Diagnostic]:
    """A note for each branch or tag of the hub that leads to another commit than the one that state keeps to."""
    for address, resource in recipe.resources.items():
        record = state.records.get(address)
        kept = record.content.get("commit", "") if record is not None else ""
        specification = resource.specification
        revision = getattr(specification, "revision", "") or "main"
        if record is None or not kept or revision == kept or not isinstance(specification.source, str):
            continue
        found = hub.resolve(specification.source, revision)
        if isinstance(found, Diagnostic):
            detail = f"{address}: nobody could say whether `{revision}` of {specification.source} has moved."
            yield Diagnostic("Unresolved revision", detail, place=resource.place("source"), severity=Severity.WARNING)
        elif found != kept:
            detail = f"{address} keeps to {kept}, and `{revision}` of {specification.source} is {found} by now."
            hint = f'`revision = "{found}"` takes the new one; nothing moves by itself.'
            yield Diagnostic("Moved revision", detail, hint, resource.place("revision"), Severity.WARNING)
