"""Resources to desired resources: reads what lies outside the recipe, once, with every problem reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field

from planner.desired import Desired
from planner.kind import Probe, Resource, Resources, Source
from planner.recipe import Recipe
from planner.structure import settings_of
from state.diagnostic import Diagnostic, ProblemError, Severity, errors
from state.files import FileDigests
from state.host import host_name
from state.record import Record, State
from state.values import frozen

if TYPE_CHECKING:
    from executor.tokens.row_sample import Sample


@frozen
class Surroundings:
    """What a probe may look at."""

    folder: Path
    """The recipe's folder, against which its paths are read."""
    digests: FileDigests
    state: State
    resources: Resources
    """Those that were probed before, which are the ones referred to, have their settings resolved."""
    known: Mapping[Source, str] = field(factory=dict)
    """Output digests that earlier probes made certain."""
    samples: dict[str, Sample] = field(factory=dict)
    """First rows that were read already, by the address of their tokens."""

    def record(self, resource: Resource) -> Record | None:
        """What state says of the resource, as a shortcut past work that was done before."""
        return self.state.records.get(resource.address)

    def made_here(self, resource: Resource) -> bool:
        """Whether this machine recorded the resource, so that something missing here is missing indeed."""
        record = self.record(resource)
        return record is None or record.provenance.host == host_name()


def assumed(resource: Resource, surroundings: Surroundings, *, builds: bool) -> Probe | None:
    """What state says of something that another machine recorded and this one cannot read; None if it is ours."""
    record = surroundings.record(resource)
    if record is None or surroundings.made_here(resource):
        return None
    detail = f"{resource.address} cannot be read on this machine and is assumed unchanged since it was recorded."
    note = Diagnostic("Assumption", detail, place=resource.place(), severity=Severity.WARNING)
    known = dict(record.parts) if builds else {"": record.output_digest, **record.parts}
    return Probe(record.content, {}, known, record.facts, diagnostics=(note,), builds=builds, assumed=True)


def desire(
    recipe: Recipe, folder: Path, digests: FileDigests, state: State
) -> tuple[tuple[Desired, ...], tuple[Diagnostic, ...]]:
    """All resources of a recipe, resolved, with warnings and assumptions; raises ProblemError with all errors."""
    known: dict[Source, str] = {}
    resources = dict(recipe.resources)
    surroundings = Surroundings(folder, digests, state, resources, known)
    found: list[Diagnostic] = []
    desired = []
    left_open = False
    state.records.read_ahead(resources)
    for resource in recipe.resources.values():
        probe: Probe = resource.kind.probe(resource, surroundings)
        whole = resources[resource.address] = _resolved(resource, probe)
        found += probe.diagnostics
        # What the recipe left open may not fit, now that it is known; the rest was checked with the recipe.
        left_open = left_open or whole is not resource
        if left_open or resource.derived_from:
            found += resource.kind.check(whole, resources)
        for part, digest in probe.known.items():
            known[Source(resource.address, part)] = digest
        desired.append(_desired(resource, probe, resources))
    # The same row can be found broken by its dataset and by the tokens that are made of it.
    unique = tuple(dict.fromkeys(found))
    if errors(unique):
        raise ProblemError(errors(unique))
    digests.save()
    return tuple(desired), unique


def examine(resources: Resources, folder: Path, digests: FileDigests, state: State) -> tuple[Diagnostic, ...]:
    """What is wrong outside the recipe with resources that refer to nothing."""
    surroundings = Surroundings(folder, digests, state, resources)
    return errors([one for each in resources.values() for one in each.kind.probe(each, surroundings).diagnostics])


def _resolved(resource: Resource, probe: Probe) -> Resource:
    if not probe.settings:
        return resource
    return evolve(resource, specification=evolve(resource.specification, **probe.settings))


def _desired(resource: Resource, probe: Probe, resources: Resources) -> Desired:
    return Desired(
        address=resource.address,
        kind=resource.kind.name,
        settings=settings_of(resources[resource.address].specification),
        content=probe.content,
        inputs=resource.kind.inputs(resource, resources),
        code=resource.kind.code,
        specification=type(resource.specification),
        builds=probe.builds,
        known=probe.known,
        facts=probe.facts,
        notes=probe.notes,
        assumed=probe.assumed,
    )
