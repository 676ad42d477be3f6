"""References between resources: which fields hold them, and whether they lead anywhere but in a circle."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import attrs

from planner.effects import reference_names, referenced_kinds
from planner.kind import Resource, Resources
from state.diagnostic import Diagnostic
from state.wording import suggestion


def reference_fields(specification: attrs.AttrsInstance) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each reference field with the addresses that it names, in the order in which they were written."""
    for name in _names(specification):
        value = getattr(specification, name)
        yield name, (value,) if isinstance(value, str) else tuple(value)


def _names(specification: attrs.AttrsInstance) -> tuple[str, ...]:
    return reference_names(type(specification))


def check_references(resources: Resources, unusable: Collection[str] = ()) -> tuple[Diagnostic, ...]:
    """Every reference that names nothing, or a resource of a kind that does not fit there, or itself in the end.

    `unusable` are addresses that exist but have problems of their own, which are enough to say of them.
    """
    referring = {address: one for address, one in resources.items() if _names(one.specification)}
    found = tuple(one for resource in referring.values() for one in _check_fields(resource, resources, unusable))
    return found or (() if unusable else tuple(_cycles(referring, resources)))


def _check_fields(resource: Resource, resources: Resources, unusable: Collection[str]) -> Iterator[Diagnostic]:
    for name, targets in reference_fields(resource.specification):
        fitting = referenced_kinds(getattr(attrs.fields(type(resource.specification)), name))
        for target in (one for one in targets if one not in unusable):
            if target not in resources:
                yield _unknown(resource, name, target, fitting, resources)
            elif resources[target].kind.name not in fitting:
                detail = f"{resource.address}.{name} must name a {' or '.join(fitting)}, not {target}."
                yield Diagnostic("Wrong reference", detail, _fitting_hint(fitting, resources), resource.place(name))


def _unknown(resource: Resource, name: str, target: str, fitting: tuple[str, ...], resources: Resources) -> Diagnostic:
    members = [address for address in resources if address.startswith(f"{target}[")]
    if members:
        detail = f"{resource.address}.{name} names {target}, which is a matrix of {len(members)}."
        return Diagnostic("Unknown reference", detail, f"Name one: {', '.join(members)}.", resource.place(name))
    detail = f"{resource.address}.{name} names {target}, which the recipe does not define."
    hint = suggestion(target, _candidates(fitting, resources)) or _fitting_hint(fitting, resources)
    return Diagnostic("Unknown reference", detail, hint, resource.place(name))


def _candidates(fitting: tuple[str, ...], resources: Resources) -> list[str]:
    return [address for address, one in resources.items() if one.kind.name in fitting]


def _fitting_hint(fitting: tuple[str, ...], resources: Resources) -> str:
    candidates = _candidates(fitting, resources)
    return f"Known: {', '.join(candidates)}." if candidates else f"Define a `[{fitting[0]}.NAME]` table."


def _cycles(referring: Collection[str], resources: Resources) -> Iterator[Diagnostic]:
    """Each circle of references once, told from the member that the recipe has first."""
    finished: set[str] = set()
    for address in referring:
        path: list[str] = []
        yield from _walk(address, path, finished, resources)


def _walk(address: str, path: list[str], finished: set[str], resources: Resources) -> Iterator[Diagnostic]:
    if address in path:
        circle = [*path[path.index(address) :], address]
        detail = f"These resources are made from each other: {' -> '.join(circle)}."
        yield Diagnostic("Cycle", detail, "Let one of them start from something else.", resources[address].place())
    elif address not in finished:
        path.append(address)
        for _, targets in reference_fields(resources[address].specification):
            for target in targets:
                yield from _walk(target, path, finished, resources)
        path.pop()
        finished.add(address)
