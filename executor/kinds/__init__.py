"""One module, one kind: every module in this folder defines `KIND`; other distributions add theirs by entry point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from executor.plugins import plugin, plugins
from planner.kind import Kind, Kinds


def load() -> Kinds:
    """All kinds by name, each loaded when it is first asked for."""
    return _KindsOnDemand()


class _KindsOnDemand(Mapping[str, Kind]):
    """Loads a kind from the module of its name, and all of them where there is none or all are asked for.

    A recipe without training is planned in half the time when the fields of all methods stay unread.
    """

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._found: dict[str, Kind] = {}

    @cached_property
    def _all(self) -> dict[str, Kind]:
        return {kind.name: kind for kind in plugins(__name__, __path__, "KIND", "tune.kinds", Kind)}

    def __getitem__(self, name: str) -> Kind:
        """The kind of a name; raises KeyError if there is none."""
        if name not in self._found:
            own = plugin(__name__, __path__, name, "KIND", Kind)
            self._found[name] = own if own is not None and own.name == name else self._all[name]
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        """The names of all kinds."""
        return iter(self._all)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._all)
