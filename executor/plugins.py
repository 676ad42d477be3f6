"""Finds kinds, methods and formats: in a folder of ours, and among the entry points of other distributions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")
V = TypeVar("V")


class OnDemand(Mapping[str, T]):
    """Plugins by name, each loaded when it is first asked for: a plan without training never reads a method's fields.

    One of ours is defined in the module of its name; for any other name, and for all names, everything is loaded.
    """

    def __init__(self, package: str, name: str, group: str, expected: type[T]) -> None:
        """Take the package whose modules define one each as `name`, and the entry points of other distributions."""
        self._package, self._name, self._group, self._expected = package, name, group, expected
        self._found: dict[str, T] = {}

    @cached_property
    def _all(self) -> dict[str, T]:
        return {one.name: one for one in self._plugins()}  # type: ignore[attr-defined]  # every plugin has a name

    def _plugins(self) -> Iterator[T]:
        """Those of the package's modules, then those of the entry points."""
        from pkgutil import iter_modules

        for module in sorted(module.name for module in iter_modules(import_module(self._package).__path__)):
            yield self._of(module)
        for point in _entry_points(self._group):
            yield self._checked(point.load())

    def _of(self, module: str) -> T:
        return self._checked(getattr(import_module(f"{self._package}.{module}"), self._name))

    def _own(self, name: str) -> T | None:
        """That of the module of a name; None where there is no such module."""
        try:
            return self._of(name)
        except ModuleNotFoundError as error:
            if error.name != f"{self._package}.{name}":
                raise
            return None

    def _checked(self, value: object) -> T:
        if not isinstance(value, self._expected):
            message = f"expected a {self._expected.__name__}, found {value!r}"
            raise TypeError(message)
        return value

    def __getitem__(self, name: str) -> T:
        """The plugin of a name; raises KeyError if there is none."""
        if name not in self._found:
            own = self._own(name) if name.isidentifier() else None
            self._found[name] = own if getattr(own, "name", "") == name and own is not None else self._all[name]
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        """The names of all of them."""
        return iter(self._all)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._all)


class Derived(Mapping[str, V]):
    """What follows from each of several plugins, which are loaded when it is asked for."""

    def __init__(self, plugins: Mapping[str, T], follows: Callable[[T], V]) -> None:
        """Take the plugins and what follows from one."""
        self._plugins, self._follows = plugins, follows

    def __getitem__(self, name: str) -> V:
        """What follows from the plugin of a name; raises KeyError if there is none."""
        return self._follows(self._plugins[name])

    def __iter__(self) -> Iterator[str]:
        """The names of all plugins."""
        return iter(self._plugins)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._plugins)


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
