"""Finds kinds and methods: by scanning a folder of ours, and among the entry points of other distributions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import TypeVar

T = TypeVar("T")


def plugins(package: str, path: Iterable[str], name: str, group: str, expected: type[T]) -> Iterator[T]:
    """The value called `name` of every module in a package, then every entry point of the group."""
    for module in sorted(module.name for module in iter_modules(path)):
        yield _expect(getattr(import_module(f"{package}.{module}"), name), expected)
    for point in entry_points(group=group):
        yield _expect(point.load(), expected)


def _expect(value: object, expected: type[T]) -> T:
    if not isinstance(value, expected):
        message = f"expected a {expected.__name__}, found {value!r}"
        raise TypeError(message)
    return value
