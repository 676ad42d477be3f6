"""Immutable values: attrs classes of which a command can define a hundred and still answer at once.

attrs writes and compiles methods of their own for every class, and most of what a small plan takes was compiling them.
Here classes share the three that only compare and print; what is left to compile is `__init__`.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import attrs

__all__ = ["frozen"]

if TYPE_CHECKING:
    from attrs import frozen
else:

    def frozen(made: type | None = None, /, *, eq: bool = True, repr: bool = True, **options: Any) -> Any:  # noqa: A002, ANN401  as attrs
        """As attrs.frozen: values of one class are equal if all fields are, unless `eq` is False."""
        if made is None:
            return lambda cls: frozen(cls, eq=eq, repr=repr, **options)
        cls = attrs.define(made, frozen=True, slots=False, eq=False, repr=False, **options)
        if repr and "__repr__" not in vars(cls):
            cls.__repr__ = _text
        if eq:
            names = [one.name for one in attrs.fields(cls) if one.eq]
            cls._compared = attrgetter(*names) if names else staticmethod(lambda _: ())
            cls.__eq__, cls.__hash__ = _is_equal, _hash
        return cls


def _is_equal(self: Any, other: Any) -> Any:  # noqa: ANN401  values of any class
    return self._compared(self) == self._compared(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:  # noqa: ANN401  as above
    return hash((self.__class__, self._compared(self)))


def _text(self: Any) -> str:  # noqa: ANN401  as above
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in attrs.fields(self.__class__) if one.repr)
    return f"{self.__class__.__name__}({', '.join(shown)})"
