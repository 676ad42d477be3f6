"""An own configuration of accelerate's: it fills in the recipe's table, and is held to the rest of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from executor.training.accelerate_keys import AS_IT_IS, AUTO, FIELDS, HINTS, SECTIONS, decided
from executor.training.distributed_fields import Distributed
from planner.kind import Resource
from planner.yaml_text import read_yaml
from state.diagnostic import Diagnostic, Place, ProblemError, problem
from state.wording import suggestion

REMOVE = "Remove it there."


def probed(resource: Resource, folder: Path) -> tuple[Distributed, tuple[Diagnostic, ...]]:
    """The recipe's table with what its file says, and what is wrong there, by file and line.

    State keeps what the file says in the fields that it is for, and so a file that moves changes nothing.
    """
    table: Distributed = resource.specification.distributed
    if not table.accelerate_config:
        return table, ()
    try:
        values, places = _read(folder, table.accelerate_config)
    except ProblemError as error:
        place = resource.place("distributed.accelerate_config")
        return table, tuple(one.at(place) for one in error.diagnostics)
    reading = _Reading(resource, {key: value for key, value in _flat(values) if value is not None})
    found = reading.table()
    reading.hold(found)
    return found, tuple(
        Diagnostic("Contradicting fields", f"`{key}` is {reading.said[key]!r}, {why}.", hint, _place(places, key))
        for key, why, hint in reading.faults
    )


def _read(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Place]]:
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise problem("Damaged configuration", f"`{name}` cannot be read: {why}.") from None
    return read_yaml(text, name)


def _flat(values: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with the tables around them; an empty table says nothing."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def _place(places: Mapping[str, Place], key: str) -> Place:
    return places.get(key) or places[key.partition(".")[0]]


@define
class _Reading:
    """What the keys of one file come to."""

    resource: Resource
    said: Mapping[str, Any]
    """By key, with the table that it stands in."""
    faults: list[tuple[str, str, str]] = field(factory=list)
    """Keys, each with what is wrong about its value and what to do."""

    def table(self) -> Distributed:
        """The recipe's table with the fields that the file is for."""
        table: Distributed = self.resource.specification.distributed
        found = self._fields(table.nodes)
        for name, (key, value) in tuple(found.items()):
            ours = getattr(table, name)
            if f"distributed.{name}" in self.resource.places and value != ours:
                self._contradicts(key, f"distributed.{name}", ours)
                del found[name]
        return evolve(table, **{name: value for name, (_, value) in found.items()}, accelerate_config="")

    def _fields(self, nodes: int) -> dict[str, tuple[str, Any]]:
        """Fields of the recipe's table, each with the key that says it and its value."""
        found: dict[str, tuple[str, Any]] = {}
        for key in (one for one in self.said if one in FIELDS):
            value = self._value(key)
            if value is not None and found.setdefault(FIELDS[key].field, (key, value))[1] != value:
                self.faults.append((key, f"and `{found[FIELDS[key].field][0]}` says something else", "Say it once."))
        if "processes" in found:
            key, size = found["processes"]
            nodes = found["nodes"][1] if "nodes" in found else nodes
            if size % nodes:
                self.faults.append((key, f"which {nodes} machines cannot share evenly", "It counts all of them."))
            found["processes"] = (key, max(1, size // nodes))
        return found

    def _value(self, key: str) -> Any:  # noqa: ANN401  whatever the field holds
        """What a field calls the value of a key; None, with the fault noted, if it does not know it."""
        values = FIELDS[key].values
        try:
            return values[self.said[key]] if isinstance(values, Mapping) else values(self.said[key])
        except (LookupError, TypeError, ValueError):
            known = f"It can be {', '.join(str(one) for one in values)}." if isinstance(values, Mapping) else ""
            self.faults.append((key, "which is no value for it here", HINTS.get(key, known) or REMOVE))
            return None

    def hold(self, table: Distributed) -> None:
        """Hold the other keys to what the recipe says, given the table with what the file says."""
        decisive = decided(self.resource.specification, table)
        for key, value in self.said.items():
            section = key.partition(".")[0]
            if section in SECTIONS and SECTIONS[section] != table.strategy:
                self.faults.append((key, f'and the strategy is "{table.strategy}"', REMOVE))
            elif key in decisive and value not in (AUTO, decisive[key][1]):
                self._contradicts(key, *decisive[key])
            elif key not in decisive and key not in FIELDS and value not in AS_IT_IS.get(key, ()):
                known = suggestion(key, [*FIELDS, *AS_IT_IS, *decisive])
                hint = HINTS.get(key, HINTS.get(section, known if key not in AS_IT_IS else ""))
                self.faults.append((key, "for which there is nothing here", hint or REMOVE))

    def _contradicts(self, key: str, name: str, ours: object) -> None:
        why = f"and the recipe's `{name}` makes it {ours!r}" if ours is not None else f"which `{name}` decides"
        self.faults.append((key, why, f"Say it in one place: change `{name}`, or remove it there."))
