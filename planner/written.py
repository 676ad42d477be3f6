"""The tables of a recipe as somebody wrote them, in TOML or in YAML, and the place of every key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from planner.positions import positions
from state.diagnostic import Place, problem

YAML_SUFFIXES = (".yaml", ".yml")


@frozen
class Written:
    """Plain tables, not yet understood, and where their keys stand."""

    file: str
    """The recipe that a command was given, whatever other files it is made of."""
    tables: Mapping[str, Any]
    where: Mapping[str, Place]
    """By dotted path; keys of inline tables may be missing."""

    def place(self, path: str) -> Place:
        """Where a path stands; else the first thing inside it, else whatever encloses it."""
        while path:
            inside = (place for key, place in self.where.items() if key.startswith(f"{path}."))
            found = self.where.get(path) or next(inside, None)
            if found is not None:
                return found
            path = path.rpartition(".")[0]
        return Place(self.file, 1, 1)


def read(text: str, file: str) -> Written:
    """The tables of one text; the ending of the file's name says whether it is TOML or YAML."""
    if file.endswith(YAML_SUFFIXES):
        from planner.yaml_text import read_yaml

        return Written(file, *read_yaml(text, file))
    tables = _read_toml(text, file)
    return Written(file, tables, {path: Place(file, *at) for path, at in positions(text).items()})


def replaced(tables: object, path: Sequence[str], value: object) -> Any:  # noqa: ANN401  plain values
    """A copy with one value set; what stands in its way and is no table goes."""
    if not path:
        return value
    copy = dict(tables) if isinstance(tables, Mapping) else {}
    copy[path[0]] = replaced(copy.get(path[0]), path[1:], value)
    return copy


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
