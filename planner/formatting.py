"""The canonical form of a recipe's text: its tables as they depend on each other, its spaces as everybody has them.

Nothing is written anew: pieces of the text change their places, and spaces change between them, so that no comment and
no spelling of a value can be lost.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias

from attrs import field

from planner.positions import Path, Statement, statements
from state.values import frozen

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
    """The text in canonical form; it must be valid TOML, and means the same afterwards."""
    groups: dict[Group, list[_Table]] = {}
    tables = _tables(text.replace("\r\n", "\n"))
    arrays = {one.path[0] for one in tables if one.is_array and len(one.path) == 1}
    for table in tables:
        groups.setdefault(_group(table.path, arrays), []).append(table)
    texts = [
        table.text
        for group in _in_order(groups, tomllib.loads(text))
        for table in _outermost_first(group, groups[group])
    ]
    return "\n".join(one for one in texts if one)


def _tables(text: str) -> list[_Table]:
    tables, end = [_Table(())], 0
    for statement in statements(text):
        between = _lines(text[end : statement.start], is_first=end == 0)
        if statement.value:
            tables[-1].pieces.extend(between)
        else:
            above, below = _parted(between)
            tables[-1].pieces.extend(above)
            tables.append(_table(text, statement, below))
        indentation = text[text.rfind("\n", 0, statement.start) + 1 : statement.start]
        tables[-1].pieces.append(indentation + _spaced(text, statement))
        end = statement.end
    tables[-1].pieces.extend(_lines(f"{text[end:]}\n", is_first=end == 0))
    return tables


def _table(text: str, statement: Statement, pieces: list[str]) -> _Table:
    is_array = text.startswith("[[", statement.start)
    # Entries of an array are numbered, which says nothing about where they belong.
    return _Table(statement.path[:-1] if is_array else statement.path, is_array, pieces)


def _lines(between: str, *, is_first: bool) -> list[str]:
    """The comments and blank lines between two statements, without what is left of the lines that these stand on."""
    return [line.rstrip() for line in between.split("\n")[0 if is_first else 1 : -1]]


def _parted(lines: list[str]) -> tuple[list[str], list[str]]:
    """What belongs to the table above and what to the header below: all that follows a blank line, or the whole."""
    at = lines.index("") if "" in lines else 0
    return lines[:at], lines[at:]


def _spaced(text: str, statement: Statement) -> str:
    if not statement.value:
        return text[statement.start : statement.end].rstrip()
    key = text[statement.start : statement.value].rstrip()
    return f"{key} = {text[statement.value + 1 : statement.end].strip()}"


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
