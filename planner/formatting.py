"""The canonical form of a recipe's text: its tables as they depend on each other, its spaces as everybody has them.

tomlkit reads it, so that comments and the spelling of values stay: pieces of the text change their places, and spaces
change between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias

import tomli
import tomlkit
from attrs import field
from tomlkit.container import Container
from tomlkit.items import AoT, Item, Table

from state.values import frozen

Path: TypeAlias = tuple[str, ...]

FIRST = ("vars",)
"""Tables that are no resources and stand above them, in this order."""
LAST = ("moved", "import", "removed", "hardware", "policy", "state")
"""Tables that are no resources and stand below them, in this order."""


@frozen
class _Table:
    """One `[header]` with what belongs to it; the path of what stands above all headers is empty."""

    path: Path
    is_array: bool = False
    pieces: list[str] = field(factory=list)
    """Statements, comment lines and blank lines."""

    @property
    def text(self) -> str:
        """The pieces without blank lines at the ends, and never two of them together."""
        kept = [one for one, above in zip(self.pieces, ["", *self.pieces], strict=False) if one or above]
        return "".join(f"{piece}\n" for piece in (kept if not kept or kept[-1] else kept[:-1]))


Group: TypeAlias = Path
"""What stays together: a resource with its inner tables (`train`, `sft`), or all entries of an array of tables."""


def formatted(text: str) -> str:
    """The text in canonical form, which means the same; raises ParseError where it is TOML that tomlkit cannot read."""
    # tomlkit may move tables that an array of tables parts from their like; a second reading finds them together.
    return _put_in_order(_put_in_order(text.replace("\r\n", "\n")))


def _put_in_order(text: str) -> str:
    tables = [_Table(())]
    _collect(tomlkit.parse(f"{text}\n"), (), (), tables)
    arrays = {one.path[0] for one in tables if one.is_array and len(one.path) == 1}
    groups: dict[Group, list[_Table]] = {}
    for table in tables:
        groups.setdefault(_group(table.path, arrays), []).append(table)
    texts = [
        table.text for group in _in_order(groups, tomli.loads(text)) for table in _outermost_first(group, groups[group])
    ]
    return "\n".join(one for one in texts if one)


def _collect(container: Container, path: Path, written: Path, tables: list[_Table]) -> None:
    """Add what a container holds to the table that was opened last, and the tables in it behind that one.

    `written` is the path with the quotes that it has in the text.
    """
    for key, item in container.body:
        if key is None:
            tables[-1].pieces.extend(_lines(item.as_string()))
            continue
        inside, named = (*path, key.key), (*written, key.as_string().strip())
        if isinstance(item, AoT):
            for one in item.body:
                _open(tables, one, inside, f"[[{'.'.join(named)}]]", is_array=True)
                _collect(one.value, inside, named, tables)
        elif isinstance(item, Table) and not key.is_dotted():
            if not item.is_super_table():
                _open(tables, item, inside, f"[{item.display_name or '.'.join(named)}]")
            _collect(item.value, inside, named, tables)
        else:
            tables[-1].pieces.extend(_statement(key.as_string().strip(), item))


def _open(tables: list[_Table], table: Table, path: Path, header: str, *, is_array: bool = False) -> None:
    """Begin a table: it takes along the comments above it that are its own."""
    above = tables[-1].pieces
    start = next((n for n in range(len(above), 0, -1) if above[n - 1] and not above[n - 1].lstrip().startswith("#")), 0)
    kept, own = _parted(above[start:])
    above[start:] = kept
    # Without spaces in front: tomlkit gives a header those of its neighbours as well, and more each time.
    tables.append(_Table(path, is_array, [*own, f"{header}{table.trivia.comment_ws}{table.trivia.comment}".rstrip()]))


def _statement(name: str, item: Item) -> Iterator[str]:
    """A key with its value, and the blank lines above it; a dotted key is a table to tomlkit."""
    if isinstance(item, Table):
        for key, one in item.value.body:
            if key is not None:
                yield from _statement(f"{name}.{key.as_string().strip()}", one)
    else:
        yield from _lines(item.trivia.indent)
        yield _piece(item, f"{name} = {item.as_string()}")


def _piece(item: Item, text: str) -> str:
    """A statement on the lines that it takes, with the comment behind it."""
    around = item.trivia
    return f"{around.indent.rpartition(chr(10))[2]}{text}{around.comment_ws}{around.comment}".rstrip()


def _lines(between: str) -> list[str]:
    """Comments and blank lines."""
    return [line.rstrip() for line in between.split("\n")[:-1]]


def _parted(lines: list[str]) -> tuple[list[str], list[str]]:
    """What belongs to the table above and what to the header below: all that follows a blank line, or the whole."""
    at = lines.index("") if "" in lines else 0
    return lines[:at], lines[at:]


def _group(path: Path, arrays: set[str]) -> Group:
    return path[:1] if path and path[0] in {*FIRST, *LAST, *arrays} else path[:2]


def _outermost_first(group: Group, tables: list[_Table]) -> list[_Table]:
    """A resource's own table above its inner ones; the entries of an array stay as they are, for order counts there."""
    return sorted(tables, key=lambda one: one.is_array or one.path != group)


def _in_order(groups: Mapping[Group, object], document: Mapping[str, Any]) -> list[Group]:
    """Resources after what they are made from, otherwise as they were; the rest above and below them."""
    addresses = {".".join(group): group for group in groups}
    needs: dict[Group, list[Group]] = {}
    for group in groups:
        named = (addresses.get(word.partition("[")[0]) for word in _words(_value(document, group)))
        needs[group] = [one for one in named if one is not None and one != group]
    try:
        TopologicalSorter(needs).prepare()
    except CycleError:
        return sorted(groups, key=_rank)
    ordered: dict[Group, None] = {}
    for group in groups:
        _visit(group, needs, ordered)
    return sorted(ordered, key=_rank)


def _visit(group: Group, needs: Mapping[Group, list[Group]], ordered: dict[Group, None]) -> None:
    """Add a group after all that it needs; chains may be longer than Python can call."""
    waiting = [group]
    while waiting:
        missing = next((one for one in needs[waiting[-1]] if one not in ordered), None)
        if missing is None:
            ordered[waiting.pop()] = None
        else:
            waiting.append(missing)


def _rank(group: Group) -> int:
    """What stands above all headers, then what is above the resources, then resources, then what is below them."""
    names = ["", *FIRST, None, *LAST]
    name = group[0] if group else ""
    return names.index(name if name in names else None)


def _value(document: Any, path: Sequence[str]) -> Any:  # noqa: ANN401  whatever TOML holds
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document if path else None


def _words(value: object) -> Iterator[str]:
    """Every string within a value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _words(one)
    elif isinstance(value, list):
        for one in value:
            yield from _words(one)
