"""Finds kinds and methods: by scanning a folder of ours, and among the entry points of other distributions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any, TypeVar

T = TypeVar("T")


def plugins(package: str, path: Iterable[str], name: str, group: str, expected: type[T]) -> Iterator[T]:
    """The value called `name` of every module in a package, then every entry point of the group."""
    for module in sorted(module.name for module in iter_modules(path)):
        yield _expect(getattr(import_module(f"{package}.{module}"), name), expected)
    for point in _entry_points().select(group=group):
        yield _expect(point.load(), expected)


@cache
def _entry_points() -> Any:  # noqa: ANN401  EntryPoints, or what stands in for them in Python 3.11
    """Those of all installed distributions: looking at each of them takes longer than anything else here."""
    return entry_points()


def _expect(value: object, expected: type[T]) -> T:
    if not isinstance(value, expected):
        message = f"expected a {expected.__name__}, found {value!r}"
        raise TypeError(message)
    return value
