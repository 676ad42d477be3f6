"""Finds kinds and methods: by scanning a folder of ours, and among the entry points of other distributions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

T = TypeVar("T")


def plugins(package: str, path: Iterable[str], name: str, group: str, expected: type[T]) -> Iterator[T]:
    """The value called `name` of every module in a package, then every entry point of the group."""
    for module in sorted(module.name for module in iter_modules(path)):
        yield _expect(getattr(import_module(f"{package}.{module}"), name), expected)
    for point in _entry_points(group):
        yield _expect(point.load(), expected)


def plugin(package: str, path: Iterable[str], module: str, name: str, expected: type[T]) -> T | None:
    """The value called `name` of one module in a package; None if there is no such module."""
    if not any(module == one.name for one in iter_modules(path)):
        return None
    return _expect(getattr(import_module(f"{package}.{module}"), name), expected)


def _entry_points(group: str) -> Sequence[Any]:
    """Those of a group; the library that reads them is loaded only where a distribution has some for us.

    Loading it, and having it look at all distributions, takes longer than most plans.
    """
    if not any(f"[{group}]".encode() in written for written in _written()):
        return ()
    from importlib.metadata import entry_points

    return tuple(entry_points(group=group))


@cache
def _written() -> tuple[bytes, ...]:
    """What the distributions on the path say of their entry points, as far as they mention us."""
    found = []
    for folder in sys.path:
        for info in _distributions(folder):
            with suppress(OSError), open(f"{info}/entry_points.txt", "rb") as file:  # noqa: PTH123  Path takes twice the time
                written = file.read()
                if b"[tune." in written:
                    found.append(written)
    return tuple(found)


def _distributions(folder: str) -> list[str]:
    try:
        return [one.path for one in os.scandir(folder or ".") if one.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return []


def _expect(value: object, expected: type[T]) -> T:
    if not isinstance(value, expected):
        message = f"expected a {expected.__name__}, found {value!r}"
        raise TypeError(message)
    return value
