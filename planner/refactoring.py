"""`[[moved]]`, `[[removed]]`, `[[import]]`: what became of addresses, said in the recipe instead of guessed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from attrs import evolve, field

from state.diagnostic import NOWHERE, Diagnostic, Place
from state.shapes import Fault, missing
from state.values import frozen
from state.wording import show, suggestion

MOVED, REMOVED, IMPORT = "moved", "removed", "import"
_KEYS = {MOVED: ("from", "to"), REMOVED: ("from",), IMPORT: ("to", "from")}
TABLES = tuple(_KEYS)


@frozen
class Move:
    """What was called `before` is called `after` now."""

    before: str
    after: str
    place: Place = field(default=NOWHERE, eq=False)


@frozen
class Removal:
    """What was at an address has left the recipe on purpose."""

    address: str
    place: Place = field(default=NOWHERE, eq=False)


@frozen
class Importation:
    """What is at an address was made elsewhere and lies in a folder."""

    address: str
    folder: str
    place: Place = field(default=NOWHERE, eq=False)


@frozen
class Refactoring:
    """All that a recipe says of what became of addresses."""

    moves: tuple[Move, ...] = ()
    removals: tuple[Removal, ...] = ()
    imports: tuple[Importation, ...] = ()

    def end(self, address: str) -> str:
        """What an address is called in the end; moves were checked before: they never go in a circle."""
        following = {one.before: one.after for one in self.moves}
        while address in following:
            address = following[address]
        return address


def table_faults(name: str, tables: object) -> Iterator[Fault]:
    """What is wrong with the shape of `[[moved]]` and its like."""
    if not isinstance(tables, list) or not all(isinstance(one, Mapping) for one in tables):
        yield Fault("", "expected tables", f"Write it as `[[{name}]]`.")
        return
    keys = _KEYS[name]
    for number, table in enumerate(tables):
        for key in table:
            if key not in keys:
                hint = suggestion(key, list(keys)) or f"Known fields: {', '.join(keys)}."
                yield Fault(f"{number}.{key}", "there is no such field", hint, summary="Unknown field")
        for key in keys:
            if key not in table:
                yield evolve(missing(key), path=f"{number}.{key}")
            elif not isinstance(table[key], str) or not table[key]:
                yield Fault(f"{number}.{key}", f"expected a string, got {show(table[key])}")


def refactoring(tables: Mapping[str, Any], place: Callable[[str], Place]) -> Refactoring:
    """The tables as values, given the place of each path; `table_faults` found nothing wrong with them."""

    def entries(name: str) -> Iterator[tuple[Any, Place]]:
        for number, table in enumerate(tables.get(name, ())):
            yield table, place(f"{name}.{number}")

    return Refactoring(
        tuple(Move(table["from"], table["to"], place) for table, place in entries(MOVED)),
        tuple(Removal(table["from"], place) for table, place in entries(REMOVED)),
        tuple(Importation(table["to"], table["from"], place) for table, place in entries(IMPORT)),
    )


def contradictions(told: Refactoring, written: Collection[str], kinds: Collection[str]) -> Iterator[Diagnostic]:
    """What cannot be meant, given the addresses that the recipe has and the kinds that it may write."""
    yield from _wrong_moves(told, written, kinds)
    for removal in told.removals:
        if removal.address in written:
            detail = f"The recipe says that {removal.address} is removed, and has it."
            yield Diagnostic("Contradiction", detail, "Remove one of both.", removal.place)
        elif removal.address.partition(".")[0] not in kinds:
            yield _no_address(removal.address, kinds, removal.place)
    known = list(written)
    taken: set[str] = set()
    for one in told.imports:
        if one.address not in written:
            detail = f"`{one.address}` is to be imported, and the recipe does not define it."
            hint = suggestion(one.address, known) or "Write the table of what was made elsewhere, too."
            yield Diagnostic("Unknown address", detail, hint, one.place)
        elif one.address in taken:
            yield Diagnostic("Contradiction", f"{one.address} is imported twice.", "Remove one of both.", one.place)
        taken.add(one.address)


_CIRCLE = "Remove the move that is no longer meant; to swap names, remove all: what was made is found under any name."


def _wrong_moves(told: Refactoring, written: Collection[str], kinds: Collection[str]) -> Iterator[Diagnostic]:
    before: set[str] = set()
    after: set[str] = set()
    targets = {*written, *(one.before for one in told.moves), *(one.address for one in told.removals)}
    circular = set(_circular({one.before: one.after for one in told.moves}))
    for move in told.moves:
        detail, hint = _wrong_move(move, written, kinds, before, after)
        if move.before in circular:
            detail, hint = f"{move.before} is moved in a circle.", _CIRCLE
        if not detail and move.after not in targets:
            detail = f"{move.before} is moved to {move.after}, which the recipe does not define."
            hint = suggestion(move.after, sorted(written)) or "Name the table that it is now."
        if detail:
            yield Diagnostic("Invalid move", detail, hint, move.place)
        before.add(move.before)
        after.add(move.after)


def _wrong_move(
    move: Move, written: Collection[str], kinds: Collection[str], before: Collection[str], after: Collection[str]
) -> tuple[str, str]:
    """What is wrong with one move, and a hint; empty if nothing is."""
    kind = move.before.partition(".")[0]
    if kind not in kinds:
        wrong = _no_address(move.before, kinds, move.place)
        return wrong.detail, wrong.hint
    if kind != move.after.partition(".")[0]:
        return f"{move.before} cannot become {move.after}: the kind stays.", f"Name a `{kind}.NAME`."
    if move.before in written:
        return f"{move.before} is moved to {move.after}, and the recipe still has it.", "Rename its table."
    if move.before in before:
        return f"{move.before} is moved twice.", "Remove the move that is not meant."
    if move.after in after:
        return f"Two resources are moved to {move.after}.", "Remove the move that is not meant."
    return "", ""


def _no_address(address: str, kinds: Collection[str], place: Place) -> Diagnostic:
    detail = f"`{address}` is no address of a table: an address is a kind and a name."
    if address.startswith("tokens."):
        return Diagnostic("Invalid address", detail, "Tokens follow what they are for by themselves.", place)
    close = suggestion(address.partition(".")[0], sorted(kinds))
    return Diagnostic("Invalid address", detail, close or f"Known kinds: {', '.join(sorted(kinds))}.", place)


def _circular(following: Mapping[str, str]) -> Iterator[str]:
    for start in following:
        seen = {start}
        address = following[start]
        while address in following and address not in seen:
            seen.add(address)
            address = following[address]
        if address in seen:
            yield start
