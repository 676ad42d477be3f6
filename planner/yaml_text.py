"""Recipes in YAML 1.2 (where `no` is a word): the same tables as in TOML, with the same places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from attrs import define, field

from state.diagnostic import Place, ProblemError, problem

MOST_VALUES = 1_000_000
"""A text whose aliases unfold into more than this was written to exhaust whoever reads it."""
MOST_NESTED = 100
"""The same of one that holds itself."""


def read_yaml(text: str, file: str) -> tuple[dict[str, Any], dict[str, Place]]:
    """The tables of a YAML text and the place of each key; raises ProblemError for what is no plain YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        loaded = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark is not None else Place(file)
        raise problem("Invalid YAML", f"{_sentence(error.problem or error.context)}.", place=place) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise problem("Invalid YAML", f"{_sentence(str(error))}.", place=Place(file, 1, 1)) from None
    if loaded is None:
        return {}, {}
    reader = _Reader(file)
    if not isinstance(loaded, Mapping):
        raise reader.wrong("a recipe is a mapping of kinds", Place(file, 1, 1))
    return reader.mapping(loaded, "", Place(file, 1, 1)), reader.where


def _sentence(text: str | None) -> str:
    lines = " ".join((text or "it cannot be read").split())
    return lines[:1].upper() + lines[1:].rstrip(".")


@define
class _Reader:
    """Turns what the library makes, which remembers comments and styles, into plain values."""

    file: str
    where: dict[str, Place] = field(factory=dict)
    count: int = 0

    def mapping(self, value: Mapping[Any, Any], path: str, around: Place) -> dict[str, Any]:
        """A mapping, with the place of each of its keys noted."""
        plain = {}
        for key, one in value.items():
            place = self._place(value, key, around)
            if not isinstance(key, str):
                raise self.wrong(f"the key {key!r} is no text; put it in quotes", place)
            inside = f"{path}.{key}" if path else str(key)
            self.where.setdefault(inside, place)
            plain[str(key)] = self._plain(one, inside, place)
        return plain

    def _place(self, value: Mapping[Any, Any], key: object, around: Place) -> Place:
        """A key that was merged in with `<<` stands elsewhere; the place of its mapping has to do."""
        at = (cast("Any", value).lc.data or {}).get(key)
        return Place(self.file, at[0] + 1, at[1] + 1) if at is not None else around

    def _plain(self, value: object, path: str, place: Place) -> Any:  # noqa: ANN401  plain values
        self.count += 1
        if self.count > MOST_VALUES or path.count(".") > MOST_NESTED:
            raise self.wrong("its aliases unfold into more than any recipe holds", place)
        match value:
            case Mapping():
                return self.mapping(value, path, place)
            case list():
                return [self._plain(one, f"{path}.{number}", place) for number, one in enumerate(value)]
            case None | bool():
                return value
            case _:
                return self._scalar(value, place)

    def _scalar(self, value: object, place: Place) -> object:
        """Numbers and texts are of classes that remember how they were written."""
        for plain in (str, int, float):
            if isinstance(value, plain):
                return plain(value)
        raise self.wrong(f"a {type(value).__name__} is no value that a recipe can hold; put it in quotes", place)

    def wrong(self, detail: str, place: Place) -> ProblemError:
        """The problem of YAML that is no recipe."""
        return problem("Invalid YAML", f"{_sentence(detail)}.", place=place)
