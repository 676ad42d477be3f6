"""Recipe text to resources: every table structured, every problem found, each with its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from planner.graph import in_order
from planner.kind import Kind, Kinds, Resource, Resources
from planner.positions import positions
from planner.references import check_references, reference_fields
from planner.secret_values import secrets_in
from planner.state_table import STATE, StateTable
from planner.structure import Fault, faults, settings_of, structure, suggestion
from state.canonical import Plain, digest
from state.diagnostic import Diagnostic, Place, ProblemError, errors, problem

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@frozen
class Recipe:
    """All resources of a recipe, derived ones included, inputs before what is made from them."""

    file: str
    resources: Resources
    state: StateTable = field(factory=StateTable)
    """Where state lies; not part of what the recipe means."""

    @property
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
    """The recipe in a TOML text; raises BrokenRecipeError with everything that is wrong with it."""
    document = _read_toml(text, file)
    reader = _Reader(file, kinds, positions(text))
    state = reader.state_table(document.pop(STATE, {}))
    written = {resource.address: resource for resource in reader.resources(document)}
    found = [*reader.found, *secrets_in(document, file, reader.where), *check_references(written, reader.unusable)]
    roots = {address: one for address, one in written.items() if not _refers(one)}
    # What refers to others can only be checked if the others are right.
    faults = {one.address: one.kind.check(one, written) for one in (roots if errors(found) else written).values()}
    found += [fault for group in faults.values() for fault in group]
    if errors(found):
        raise BrokenRecipeError(found, {address: one for address, one in roots.items() if not faults[address]})
    return Recipe(file, in_order(_with_derived(written)), state)


def read_state_table(text: str, file: str) -> StateTable:
    """Where the state of a recipe lies, however wrong the rest of the recipe is; raises ProblemError."""
    document = _read_toml(text, file)
    reader = _Reader(file, {}, positions(text))
    table = reader.state_table(document.get(STATE, {}))
    found = [*reader.found, *secrets_in({STATE: document.get(STATE, {})}, file, reader.where)]
    if found:
        raise ProblemError(found)
    return table


def _refers(resource: Resource) -> bool:
    return any(targets for _, targets in reference_fields(resource.specification))


def _meaning(resource: Resource) -> dict[str, Plain]:
    references = {name: list(addresses) for name, addresses in reference_fields(resource.specification)}
    return {"settings": settings_of(resource.specification), "references": references}


def _with_derived(written: dict[str, Resource]) -> dict[str, Resource]:
    """The derived resources are planned before what derives them, as any input."""
    complete: dict[str, Resource] = {}
    for address, resource in written.items():
        complete |= {derived.address: derived for derived in resource.kind.derive(resource, written)}
        complete[address] = resource
    return complete


def _read_toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, where = str(error).rpartition(" (at ")
        numbers = [int(number) for number in re.findall(r"\d+", where)]
        line, column = numbers or _end(text)
        raise problem("Invalid TOML", f"{message}.", place=Place(file, line, column)) from None


def _end(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


@define
class _Reader:
    """Turns the tables of one document into resources and collects what is wrong with them."""

    file: str
    kinds: Kinds
    where: Mapping[str, tuple[int, int]]
    found: list[Diagnostic] = field(factory=list)
    unusable: set[str] = field(factory=set)
    """Addresses of tables that are no resources because of their problems."""
    _inside: dict[str, dict[str, Place]] = field(factory=dict, init=False)
    """The places of the fields of every block, by address and path below it."""

    def __attrs_post_init__(self) -> None:
        for path, at in self.where.items():
            kind, _, rest = path.partition(".")
            name, _, below = rest.partition(".")
            if below:
                self._inside.setdefault(f"{kind}.{name}", {})[below] = Place(self.file, *at)

    def resources(self, document: Mapping[str, object]) -> Iterator[Resource]:
        if not document:
            self._wrong("Empty recipe", "The recipe defines nothing.", "Start with a `[model.NAME]` table.")
        for kind_name, tables in document.items():
            kind = self.kinds.get(kind_name)
            if kind is None or not kind.specifications:
                self._unknown_kind(kind_name, kind)
            elif not isinstance(tables, Mapping) or not all(isinstance(one, Mapping) for one in tables.values()):
                hint = f"Write it as a named table: `[{kind_name}.NAME]`."
                self._wrong("Table without a name", f"`{kind_name}` must hold named tables.", hint, kind_name)
            else:
                for name, table in tables.items():
                    yield from self._resource(kind, name, table)

    def state_table(self, table: object) -> StateTable:
        """The table `[state]`; the default where it is wrong, with the problem noted."""
        if not isinstance(table, Mapping):
            self._wrong("Invalid recipe", "`state` must be a table.", "Write it as `[state]`.", STATE)
            return StateTable()
        made = StateTable()
        try:
            made = structure(table, StateTable)
        except ExceptionGroup as error:
            for fault in faults(error, StateTable):
                self._fault(STATE, fault)
        return made

    def _unknown_kind(self, name: str, kind: Kind | None) -> None:
        writable = sorted(one.name for one in self.kinds.values() if one.specifications)
        if kind is not None:
            detail = f"`{name}` is made from the datasets of a train or eval table and cannot be written."
            self._wrong("Derived kind", detail, "Remove the table.", name)
            return
        hint = suggestion(name, writable) or f"Known kinds: {', '.join(writable)}."
        self._wrong("Unknown kind", f"There is no kind `{name}`.", hint, name)

    def _resource(self, kind: Kind, name: str, table: Mapping[str, Plain]) -> Iterator[Resource]:
        address = f"{kind.name}.{name}"
        self.unusable.add(address)
        if not _NAME.fullmatch(name):
            detail = f"`{name}` cannot name a resource."
            self._wrong(
                "Invalid name", detail, "Use letters, digits, `-` and `_`, starting with none of these two.", address
            )
            return
        specification = self._specification(kind, address, table)
        if specification is None:
            return
        try:
            made = structure(table, specification)
        except ExceptionGroup as error:
            for fault in faults(error, specification):
                self._fault(address, fault)
            return
        self.unusable.remove(address)
        yield Resource(address, kind, made, self._places(address))

    def _specification(self, kind: Kind, address: str, table: Mapping[str, Plain]) -> type | None:
        """The class of a kind's fields, picked by the field that tells its variants apart."""
        if not kind.variant:
            return kind.specifications[""]
        chosen = table.get(kind.variant)
        known = sorted(kind.specifications)
        if isinstance(chosen, str) and chosen in kind.specifications:
            return kind.specifications[chosen]
        hint = (suggestion(chosen, known) if isinstance(chosen, str) else "") or f"Known: {', '.join(known)}."
        message = f"there is no {kind.variant} {chosen!r}" if chosen is not None else "this field is required"
        self._fault(address, Fault(kind.variant, message, hint))
        return None

    def _fault(self, address: str, fault: Fault) -> None:
        path = f"{address}.{fault.path}" if fault.path else address
        self._wrong("Invalid recipe", f"{path}: {fault.message}.", fault.hint, path)

    def _wrong(self, summary: str, detail: str, hint: str, path: str = "") -> None:
        self.found.append(Diagnostic(summary, detail, hint, self._place(path)))

    def _place(self, path: str) -> Place:
        """Where a path stands; else the first thing inside it, else whatever encloses it."""
        while path:
            inside = (at for key, at in self.where.items() if key.startswith(f"{path}."))
            at = self.where.get(path) or next(inside, None)
            if at is not None:
                return Place(self.file, *at)
            path = path.rpartition(".")[0]
        return Place(self.file, 1, 1)

    def _places(self, address: str) -> dict[str, Place]:
        """The places of one block's fields; the block itself falls back to whatever encloses it."""
        return {"": self._place(address), **self._inside.get(address, {})}
