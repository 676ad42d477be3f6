"""Recipe text to resources: every table structured, every problem found, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from attrs import evolve, field, fields

from planner import effects
from planner.graph import in_order
from planner.kind import Kind, Kinds, Resource, Resources
from planner.lifecycle_table import LIFECYCLE, Lifecycle, unfit_fields
from planner.matrix import Member, members
from planner.other_tools import HINT, other_tool
from planner.overrides import Overrides
from planner.policy import HARDWARE, POLICY, Hardware, Limits, Policy, unpriced
from planner.refactoring import TABLES, Refactoring, contradictions, refactoring, table_faults
from planner.references import Naming, check_references, named_in, reference_fields, sound
from planner.secret_values import secrets_in
from planner.state_table import STATE, StateTable, unused
from planner.structure import settings_of, structure
from planner.variables import VARIABLES, with_variables
from planner.written import Places, Written, read
from state.canonical import Plain, digest
from state.diagnostic import Diagnostic, Place, ProblemError, errors
from state.shapes import Fault, MisfitError
from state.values import frozen, mutable
from state.wording import show, suggestion

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""What a resource may be called."""
_NO_RESOURCES = (STATE, POLICY, HARDWARE, *TABLES)


@frozen
class Recipe:
    """All resources of a recipe, derived ones included, inputs before what is made from them."""

    file: str
    resources: Resources
    state: StateTable = field(factory=StateTable)
    """Where state lies; not part of what the recipe means."""
    refactoring: Refactoring = field(factory=Refactoring)
    """What became of addresses; it changes no resource either."""
    limits: Limits = field(factory=Limits)
    """What a plan may not exceed."""

    @cached_property
    def digest(self) -> str:
        """Of what the recipe means: comments, order and spelled-out defaults do not count."""
        return digest({address: _meaning(resource) for address, resource in sorted(self.resources.items())})


class BrokenRecipeError(ProblemError):
    """A recipe with errors, and the resources in it that are right in themselves and refer to nothing.

    Their files can be looked at all the same, so that a person hears of everything at once.
    """

    def __init__(self, found: Sequence[Diagnostic], sound: Resources) -> None:
        """Carry all errors and all sound resources."""
        super().__init__(errors(found))
        self.sound = sound


def parse(text: str, file: str, kinds: Kinds) -> Recipe:
    """The recipe in one text that needs nothing from outside it; raises ProblemError."""
    return assemble(with_variables(read(text, file), Overrides()), kinds)


def assemble(written: Written, kinds: Kinds) -> Recipe:
    """The recipe in composed tables; raises BrokenRecipeError with everything that is wrong with it."""
    reader = _Reader(written, kinds)
    state = reader.state_table()
    resources = {one.address: one for one in reader.resources()}
    told, limits = reader.refactoring(resources), reader.limits()
    found = [
        *reader.found,
        *secrets_in(written.tables, written),
        *check_references(resources, reader.unusable, reader.faulty.values()),
    ]
    # What refers to others can only be checked if the others are right.
    right = sound(resources) if errors(found) else resources
    faults = {address: one.kind.check(one, resources) for address, one in right.items()}
    found += [fault for group in faults.values() for fault in group]
    if errors(found):
        roots = {address: one for address, one in right.items() if not (_refers(one) or faults[address])}
        raise BrokenRecipeError(found, roots)
    return Recipe(written.file, in_order(_with_derived(resources)), state, told, limits)


def read_state_table(written: Written, overrides: Overrides) -> StateTable:
    """Where the state of a recipe lies, however wrong the rest of the recipe is; raises ProblemError."""
    tables = {name: one for name, one in written.tables.items() if name in (STATE, VARIABLES)}
    alone = with_variables(evolve(written, tables=tables), overrides)
    reader = _Reader(alone, {})
    table = reader.state_table()
    found = [*reader.found, *secrets_in(alone.tables, alone)]
    if found:
        raise ProblemError(found)
    return table


def _lifecycle(table: object, specification: type, kind: Kind) -> tuple[Lifecycle, tuple[Fault, ...]]:
    """The table `lifecycle` of a resource, or what is wrong with it."""
    if not isinstance(table, Mapping):
        return Lifecycle(), (Fault(LIFECYCLE, f"expected a table, got {show(table)}"),)
    try:
        lifecycle: Lifecycle = structure(table, Lifecycle)
    except MisfitError as error:
        return Lifecycle(), tuple(error.inside(LIFECYCLE))
    return lifecycle, tuple(unfit_fields(lifecycle, specification, kind.variant))


def _known_elsewhere(fault: Fault, kind: Kind) -> Fault:
    """What is wrong with a field, with what to write instead of one that other tools have."""
    if fault.summary != "Unknown field":
        return fault
    hint = kind.elsewhere().get(fault.path) or _of_a_variant(fault.path, kind)
    return evolve(fault, hint=hint) if hint else fault


def _of_a_variant(name: str, kind: Kind) -> str:
    """Which variants of a kind have a field that the one of the recipe lacks."""
    having = [variant for variant, one in kind.specifications.items() if name in effects.fields(one)]
    return f"It is a field of {kind.variant} = {' or '.join(map(show, having))}." if having else ""


def _refers(resource: Resource) -> bool:
    return any(targets for _, targets in reference_fields(resource.specification))


def _meaning(resource: Resource) -> dict[str, Plain]:
    references = {name: list(addresses) for name, addresses in reference_fields(resource.specification)}
    ignored: dict[str, Plain] = {"ignored": sorted(resource.lifecycle.ignore_changes)}
    return {
        "settings": settings_of(resource.specification),
        "references": references,
        **(ignored if resource.lifecycle.ignore_changes else {}),
    }


def _with_derived(written: dict[str, Resource]) -> dict[str, Resource]:
    """The derived resources are planned before what derives them, as any input."""
    complete: dict[str, Resource] = {}
    for address, resource in written.items():
        for derived in resource.kind.derive(resource, written):
            shared = complete.setdefault(derived.address, derived)
            if shared.specification != derived.specification:
                message = f"{address} and {shared.derived_from} derive {derived.address} differently"
                raise TypeError(message)  # a kind that names by less than decides: a bug, and dear if it stays unseen
        complete[address] = resource
    return complete


@mutable
class _Reader:
    """Turns the tables of a recipe into resources and collects what is wrong with them."""

    written: Written
    kinds: Kinds
    found: list[Diagnostic] = field(factory=list)
    unusable: set[str] = field(factory=set)
    """Addresses of tables that are no resources because of their problems."""
    faulty: dict[str, Naming] = field(factory=dict)
    """What such tables name, by address; of a matrix, what its first member does."""

    @cached_property
    def _inside(self) -> dict[str, dict[str, Place]]:
        """The places of the fields of every block, by address and path below it."""
        found: dict[str, dict[str, Place]] = {}
        for path, place in self.written.where.items():
            kind, _, rest = path.partition(".")
            name, _, below = rest.partition(".")
            if below:
                found.setdefault(f"{kind}.{name}", {})[below] = place
        return found

    def resources(self) -> Iterator[Resource]:
        document = {name: one for name, one in self.written.tables.items() if name not in _NO_RESOURCES}
        if not document:
            self._wrong("Empty recipe", "The recipe defines nothing.", "Start with a `[model.NAME]` table.")
        if other := other_tool(document):
            self._wrong("Recipe of another tool", other.detail, HINT, other.key)
            return
        for kind_name, tables in document.items():
            kind = self.kinds.get(kind_name)
            if kind is None or not kind.is_written:
                self._unknown_kind(kind_name, kind)
            elif not isinstance(tables, Mapping) or not all(isinstance(one, Mapping) for one in tables.values()):
                hint = f"Write it as a named table: `[{kind_name}.NAME]`."
                self._wrong("Table without a name", f"`{kind_name}` must hold named tables.", hint, kind_name)
            else:
                for name, table in tables.items():
                    yield from self._members(kind, name, table)

    def state_table(self) -> StateTable:
        """The table `[state]`; the default where it is wrong, with the problem noted."""
        made: StateTable = self._or_default(STATE, StateTable)
        for name in unused(made):
            detail = f"`{STATE}.{name}` says where an object store is, and none is named."
            self._wrong("Unused setting", detail, "Remove it, or name one in `url` or `artifacts`.", f"{STATE}.{name}")
        return made

    def limits(self) -> Limits:
        """The tables `[policy]` and `[hardware.NAME]`; what is wrong with them is noted."""
        policy: Policy = self._or_default(POLICY, Policy)
        tables = self.written.tables.get(HARDWARE, {})
        hardware = {}
        if isinstance(tables, Mapping):
            hardware = {name: self._structured(f"{HARDWARE}.{name}", one, Hardware) for name, one in tables.items()}
        else:
            hint = f"Write it as a named table: `[{HARDWARE}.NAME]`."
            self._wrong("Table without a name", f"`{HARDWARE}` must hold named tables.", hint, HARDWARE)
        places = Places(lambda: {one.name: self.written.place(f"{POLICY}.{one.name}") for one in fields(Policy)})
        found = Limits(policy, {name: one for name, one in hardware.items() if one is not None}, places)
        self.found += () if None in hardware.values() else unpriced(found)  # a price that is wrong is told as that
        return found

    def _or_default(self, name: str, specification: type) -> Any:  # noqa: ANN401  an instance of it
        """A table of the recipe that is no resource; as by default where it is left out, or wrong with that noted."""
        tables = self.written.tables
        return (self._structured(name, tables[name], specification) if name in tables else None) or specification()

    def _structured(self, path: str, table: object, specification: type) -> Any:  # noqa: ANN401  an instance of it
        """A table that is no resource; None where it is wrong, with the problem noted."""
        if not isinstance(table, Mapping):
            self._wrong("Invalid value", f"`{path}` must be a table.", f"Write it as `[{path}]`.", path)
            return None
        try:
            return structure(table, specification)
        except MisfitError as error:
            for fault in error.faults:
                self._fault(path, fault, f"{path}.{fault.path}")
        return None

    def refactoring(self, resources: Resources) -> Refactoring:
        """What the recipe says of addresses; what is wrong with it is noted."""
        tables = {name: self.written.tables[name] for name in TABLES if name in self.written.tables}
        wrong = [(name, fault) for name, one in tables.items() for fault in table_faults(name, one)]
        for name, fault in wrong:
            self._fault(name, fault, f"{name}.{fault.path}")
        if wrong or not tables:
            return Refactoring()
        told = refactoring(tables, self.written.place)
        kinds = {one.name for one in self.kinds.values() if one.is_written}
        self.found += contradictions(told, {*resources, *self.unusable}, kinds)
        return told

    def _unknown_kind(self, name: str, kind: Kind | None) -> None:
        writable = sorted(one.name for one in self.kinds.values() if one.is_written)
        if kind is not None:
            detail = f"`{name}` is made from the datasets of a train or eval table and cannot be written."
            self._wrong("Derived kind", detail, "Remove the table.", name)
            return
        hint = suggestion(name, writable) or f"Known kinds: {', '.join(writable)}."
        self._wrong("Unknown kind", f"There is no kind `{name}`.", hint, name)

    def _members(self, kind: Kind, name: str, table: Mapping[str, Plain]) -> Iterator[Resource]:
        """The resource of a table, or those of its matrix."""
        address = f"{kind.name}.{name}"
        self.unusable.add(address)
        if not NAME.fullmatch(name):
            detail = f"`{name}` cannot name a resource."
            hint = "Use letters, digits, `-` and `_`, starting with none of these two."
            self._wrong("Invalid name", detail, hint, address)
            return
        found, wrong = members(name, table)
        for fault in wrong:
            self._fault(address, fault, f"{address}.{fault.path}")
        told: set[Fault] = set()
        # All members vary the same fields, so that these stand at the same places.
        places = Places(partial(self._places, address, found[0])) if found else {}
        for member in found:
            yield from self._resource(kind, address, member, places, told)
        if not wrong and not told:
            self.unusable.remove(address)

    def _resource(
        self, kind: Kind, table: str, member: Member, places: Mapping[str, Place], told: set[Fault]
    ) -> Iterator[Resource]:
        """One resource, unless something is wrong with it; what was told of its siblings is not told again."""
        address = f"{kind.name}.{member.name}"
        table_of_kind = {name: value for name, value in member.table.items() if name != LIFECYCLE}
        specification, wrong = self._specification(kind, table_of_kind)
        lifecycle = Lifecycle()
        if specification is not None:
            if LIFECYCLE in member.table:
                lifecycle, wrong = _lifecycle(member.table[LIFECYCLE], specification, kind)
            try:
                made = structure(table_of_kind, specification)
            except MisfitError as error:
                wrong += tuple(_known_elsewhere(fault, kind) for fault in error.faults)
        if specification is not None and not wrong:
            yield Resource(address, kind, made, places, coordinates=member.coordinates, lifecycle=lifecycle)
        for fault in wrong:
            if fault not in told:
                self._fault(address, fault, f"{table}.{member.written_at(fault.path)}")
        told |= set(wrong)
        if wrong:
            self.unusable.add(address)
            if specification is not None and table not in self.faulty:
                names = named_in(table_of_kind, specification)
                self.faulty[table] = Naming(address, specification, names, Resource(address, kind, None, places).place)

    def _specification(self, kind: Kind, table: Mapping[str, Plain]) -> tuple[type | None, tuple[Fault, ...]]:
        """The class of a kind's fields, picked by the field that tells its variants apart; or what is wrong with it."""
        if not kind.variant:
            return kind.specifications[""], ()
        chosen = table.get(kind.variant)
        if isinstance(chosen, str) and chosen in kind.specifications:
            return kind.specifications[chosen], ()
        known = sorted(kind.specifications)
        named = chosen if isinstance(chosen, str) else ""
        hint = kind.gone.get(named) or suggestion(named, known) or f"Known: {', '.join(known)}."
        if chosen is None:
            return None, (Fault(kind.variant, "this field is required", hint, summary="Missing field"),)
        return None, (Fault(kind.variant, f"there is no {kind.variant} {chosen!r}", hint),)

    def _fault(self, address: str, fault: Fault, written_at: str) -> None:
        path = f"{address}.{fault.path}" if fault.path else address
        self._wrong(fault.summary, f"{path}: {fault.message}.", fault.hint, written_at.rstrip("."))

    def _wrong(self, summary: str, detail: str, hint: str, path: str = "") -> None:
        self.found.append(Diagnostic(summary, detail, hint, self.written.place(path)))

    def _places(self, table: str, member: Member) -> dict[str, Place]:
        """The places of a resource's fields; the resource itself falls back to whatever encloses it."""
        inside = self._inside.get(table, {})
        varied = {path: self.written.place(f"{table}.{member.written_at(path)}") for path, _ in member.coordinates}
        return {"": self.written.place(table), **inside, **varied}
