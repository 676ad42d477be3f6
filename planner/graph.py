"""The order of work: inputs before what is made from them, otherwise as the recipe has them."""

from __future__ import annotations

from planner.kind import Resource, Resources


def in_order(resources: Resources) -> dict[str, Resource]:
    """The resources, inputs first. References were checked before: there is no cycle."""
    ordered: dict[str, Resource] = {}
    for address in resources:
        _visit(address, resources, ordered)
    return ordered


def _visit(address: str, resources: Resources, ordered: dict[str, Resource]) -> None:
    if address in ordered:
        return
    resource = resources[address]
    for sources in resource.kind.inputs(resource, resources).values():
        for source in sources:
            _visit(source.address, resources, ordered)
    ordered[address] = resource
