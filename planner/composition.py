"""`extends`: recipes that others build on, read from the farthest to the nearest and merged key by key."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from attrs import evolve

from planner.written import Written, read
from state.diagnostic import Diagnostic, Place, ProblemError, problem

EXTENDS = "extends"
Load: TypeAlias = Callable[[str], str]
"""Gives the text of a file by its path from the recipe's folder."""


def compose(file: str, load: Load) -> Written:
    """The recipe in a file together with all that it extends; what is nearest to the file wins."""
    found: dict[str, Written] = {}
    _collect(file, _text(file, load, Place(file)), (), load, found)
    whole, *nearer = found.values()
    for one in nearer:
        whole = _merged(whole, one)
    return evolve(whole, file=file)


def _collect(file: str, text: str, chain: tuple[str, ...], load: Load, found: dict[str, Written]) -> None:
    """Add a file behind those that it extends: each once, so that what two of them share overrides neither."""
    written = read(text, file)
    chain = (*chain, file)
    wrong: list[Diagnostic] = []
    for base in _bases(written):
        # Joined by hand: places are to read the same on every machine.
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file), base))
        if path in found:
            continue
        try:
            _refuse_circle(chain, path, written.place(EXTENDS))
            _collect(path, _text(path, load, written.place(EXTENDS)), chain, load, found)
        except ProblemError as error:
            wrong += error.diagnostics
    if wrong:
        raise ProblemError(wrong)
    found[file] = evolve(written, tables={name: one for name, one in written.tables.items() if name != EXTENDS})


def _refuse_circle(chain: tuple[str, ...], path: str, place: Place) -> None:
    if path in chain:
        circle = " -> ".join((*chain[chain.index(path) :], path))
        detail = f"These recipes extend each other: {circle}."
        raise problem("Cycle", detail, "Take one of them out of `extends`.", place)


def _bases(written: Written) -> list[str]:
    bases = written.tables.get(EXTENDS, [])
    if not isinstance(bases, list) or not all(isinstance(one, str) and one for one in bases):
        hint = 'Write it as `extends = ["base.toml"]`, above all tables.'
        raise problem("Invalid value", "`extends` must be a list of files.", hint, written.place(EXTENDS))
    return bases


def _text(file: str, load: Load, place: Place) -> str:
    """The text of a file that is named at a place."""
    try:
        return load(file)
    except (OSError, ValueError) as error:  # a path with a NUL in it is a ValueError
        detail = f"`{file}` cannot be read: {getattr(error, 'strerror', None) or error}."
        hint = "" if place.file == file else "Paths in `extends` start at the file that says it."
        raise problem("Missing recipe", detail, hint, place) from None


def _merged(below: Written, above: Written) -> Written:
    return evolve(above, tables=_overlaid(below.tables, above.tables), where={**_all_places(below), **above.where})


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[name] = _overlaid(old, value) if both else value  # type: ignore[arg-type]  # checked a line above
    return merged


def _all_places(written: Written) -> dict[str, Place]:
    """Also of keys in inline tables: what encloses them may get another place from the file above."""
    inside = dict(_leaves(written.tables, "", Place(written.file, 1, 1), written.where))
    return {**inside, **written.where}


def _leaves(
    tables: Mapping[str, Any], prefix: str, around: Place, where: Mapping[str, Place]
) -> Iterator[tuple[str, Place]]:
    for name, value in tables.items():
        path = f"{prefix}{name}"
        place = where.get(path, around)
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}.", place, where)
        else:
            yield path, place
