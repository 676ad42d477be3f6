"""References between resources: which fields hold them, and whether they lead anywhere but in a circle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import attrs

from planner.effects import reference_names, referenced_kinds
from planner.kind import Resource, Resources
from state.canonical import Plain
from state.diagnostic import Diagnostic, Place
from state.values import frozen
from state.wording import suggestion


@frozen
class Naming:
    """Whoever names resources: one itself, or a table that is none because of other problems."""

    address: str
    specification: type
    names: tuple[tuple[str, tuple[str, ...]], ...]
    """Each reference field with the addresses in it."""
    place: Callable[[str], Place]


def naming_of(resource: Resource) -> Naming:
    """What a resource names."""
    fields = tuple(reference_fields(resource.specification))
    return Naming(resource.address, type(resource.specification), fields, resource.place)


def named_in(table: Mapping[str, Plain], specification: type) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What a table names, as far as it is written as it should be."""
    written = ((name, table.get(name)) for name in reference_names(specification))
    lists = ((name, value if isinstance(value, list) else [value]) for name, value in written)
    return tuple((name, tuple(one for one in values if isinstance(one, str))) for name, values in lists)


def reference_fields(specification: attrs.AttrsInstance) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each reference field with the addresses that it names, in the order in which they were written."""
    for name in _names(specification):
        value = getattr(specification, name)
        yield name, (value,) if isinstance(value, str) else tuple(value)


def _names(specification: attrs.AttrsInstance) -> tuple[str, ...]:
    return reference_names(type(specification))


def check_references(
    resources: Resources, unusable: Collection[str] = (), faulty: Collection[Naming] = ()
) -> tuple[Diagnostic, ...]:
    """Every reference that names nothing, or a resource of a kind that does not fit there, or itself in the end.

    `unusable` are addresses that exist but have problems of their own, which are enough to say of them; what `faulty`
    tables name is checked all the same.
    """
    referring = {address: one for address, one in resources.items() if _names(one.specification)}
    naming = (*map(naming_of, referring.values()), *faulty)
    # A dict, because it keeps its order.
    known = dict.fromkeys((*resources, *sorted(unusable)))
    found = tuple(fault for one in naming for fault in _check_fields(one, known))
    return found or (() if unusable else tuple(_cycles(referring, resources)))


def sound(resources: Resources) -> Resources:
    """Those whose references lead, however far, to resources that are there and fit, and in no circle."""
    naming = {address: naming_of(one) for address, one in resources.items()}
    fitting = {address: one for address, one in naming.items() if not any(_check_fields(one, resources))}
    named = {address: {target for _, targets in one.names for target in targets} for address, one in fitting.items()}
    found: set[str] = set()
    while more := {address for address, targets in named.items() if address not in found and targets <= found}:
        found |= more
    return {address: one for address, one in resources.items() if address in found}


def _check_fields(naming: Naming, known: Collection[str]) -> Iterator[Diagnostic]:
    for name, targets in naming.names:
        fitting = referenced_kinds(getattr(attrs.fields(naming.specification), name))
        for target in targets:
            if target not in known:
                yield _unknown(naming, name, target, fitting, known)
            elif _kind(target) not in fitting:
                detail = f"{naming.address}.{name} must name a {' or '.join(fitting)}, not {target}."
                yield Diagnostic("Wrong reference", detail, _fitting_hint(fitting, known), naming.place(name))


def _unknown(naming: Naming, name: str, target: str, fitting: tuple[str, ...], known: Collection[str]) -> Diagnostic:
    members = [address for address in known if address.startswith(f"{target}[")]
    if members:
        detail = f"{naming.address}.{name} names {target}, which is a matrix of {len(members)}."
        return Diagnostic("Unknown reference", detail, f"Name one: {', '.join(members)}.", naming.place(name))
    detail = f"{naming.address}.{name} names {target}, which the recipe does not define."
    hint = suggestion(target, _candidates(fitting, known)) or _fitting_hint(fitting, known)
    return Diagnostic("Unknown reference", detail, hint, naming.place(name))


def _candidates(fitting: tuple[str, ...], known: Collection[str]) -> list[str]:
    return [address for address in known if _kind(address) in fitting]


def _kind(address: str) -> str:
    return address.partition(".")[0]


def _fitting_hint(fitting: tuple[str, ...], known: Collection[str]) -> str:
    candidates = _candidates(fitting, known)
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
