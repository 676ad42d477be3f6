"""The tables of a recipe as somebody wrote them, in TOML or in YAML, and the place of every key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import tomli

from state.diagnostic import Place, problem
from state.values import frozen

YAML_SUFFIXES = (".yaml", ".yml")


class Places(Mapping[str, Place]):
    """Where things stand by dotted path, looked for when the first is asked for: a plan without changes tells none."""

    def __init__(self, find: Callable[[], Mapping[str, Place]]) -> None:
        """Take what looks for them."""
        self._find = find

    @cached_property
    def _found(self) -> Mapping[str, Place]:
        return self._find()

    def __getitem__(self, path: str) -> Place:
        """The place of a path; raises KeyError where there is none."""
        return self._found[path]

    def __iter__(self) -> Iterator[str]:
        """The paths, in the order in which they stand."""
        return iter(self._found)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._found)


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


_NUL = (r"\u0000", r"\U00000000", r"\x00", r"\0")
"""How a text can come to hold the character NUL: by an escape only, in TOML as in YAML."""
_SYNTAX = "The mistake is there or just before: texts stand in quotes, lists in brackets, tables below `[kind.name]`."


def read(text: str, file: str) -> Written:
    """The tables of one text; the ending of the file's name says whether it is TOML or YAML."""
    if file.endswith(YAML_SUFFIXES):
        from planner.yaml_text import read_yaml

        written = Written(file, *read_yaml(text, file))
    else:
        tables = _read_toml(text, file)
        written = Written(file, tables, Places(partial(_places_in_toml, text, file)))
    if any(map(text.__contains__, _NUL)):
        for path in _with_nul(written.tables, ""):
            raise problem(
                "Invalid value", f"{path}: a text holds the character NUL.", "Remove it.", written.place(path)
            )
    return written


def _with_nul(value: object, path: str) -> Iterator[str]:
    """The paths of texts that no file system and no database takes."""
    if isinstance(value, str) and "\0" in value:
        yield path
    elif isinstance(value, Mapping):
        for name, one in value.items():
            inside = f"{path}.{name}" if path else str(name)
            yield from _with_nul(name, inside)
            yield from _with_nul(one, inside)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _with_nul(one, f"{path}.{number}")


def replaced(tables: object, path: Sequence[str], value: object) -> Any:  # noqa: ANN401  plain values
    """A copy with one value set; what stands in its way and is no table goes."""
    if not path:
        return value
    copy = dict(tables) if isinstance(tables, Mapping) else {}
    copy[path[0]] = replaced(copy.get(path[0]), path[1:], value)
    return copy


def _places_in_toml(text: str, file: str) -> dict[str, Place]:
    from planner.positions import positions

    return {path: Place(file, *at) for path, at in positions(text).items()}


def _read_toml(text: str, file: str) -> dict[str, Any]:
    try:
        tables = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        message, _, where = str(error).rpartition(" (at ")
        numbers = [int(number) for number in re.findall(r"\d+", where)]
        line, column = numbers or _end(text)
        raise problem("Invalid TOML", *_in_words(message), Place(file, line, column)) from None
    except RecursionError:
        raise problem("Invalid TOML", "It is nested too deeply.", _SYNTAX, Place(file, *_end(text))) from None
    except ValueError:
        detail = "It holds a number with thousands of digits."
        raise problem("Invalid TOML", detail, "Write numbers of a sensible size.", Place(file, *_end(text))) from None
    return tables


def _in_words(message: str) -> tuple[str, str]:
    """What tomli found, and what to do about it."""
    if message.startswith("Cannot declare "):
        table = ".".join(re.findall(r"'([^']*)'", message))
        return f"The table `[{table}]` stands here twice.", "Put its fields together below one of both."
    if message == "Cannot overwrite a value":
        return "This key has a value already.", "Remove one of both."
    return f"{message}.", _SYNTAX


def _end(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")
