"""Values and what works on them: attrs classes of which a command can define a hundred and still answer at once.

attrs writes and compiles methods of their own for every class, and most of what a small plan takes was compiling them.
Here classes share the three that only compare and print, and attrs gets to see a class when something of it is first
asked for, such as an instance or its fields: a command makes instances of a third of the classes that it loads.
"""

from __future__ import annotations

import threading
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import attrs

__all__ = ["frozen", "mutable"]

if TYPE_CHECKING:
    from attrs import frozen, mutable
else:

    def frozen(made: type | None = None, /, *, eq: bool = True, repr: bool = True, **options: Any) -> Any:  # noqa: A002, ANN401  as attrs
        """As attrs.frozen: values of one class are equal if all fields are, unless `eq` is False."""
        if made is None:
            return lambda cls: frozen(cls, eq=eq, repr=repr, **options)
        if repr and "__repr__" not in vars(made):
            made.__repr__ = _text
        if eq:
            made.__eq__, made.__hash__ = _is_equal, _hash
        return _finished_later(made, frozen=True, **options)

    def mutable(made: type) -> Any:  # noqa: ANN401  as attrs
        """As attrs.mutable, of which each instance equals itself alone."""
        return _finished_later(made)


_LATER = ("__attrs_attrs__", "__init__", "__match_args__", "_compared")
"""What is not there before attrs has seen a class."""
_FINISHING = threading.RLock()


def _finished_later(made: type, **options: Any) -> type:  # noqa: ANN401  as attrs
    """The class, which attrs will see when something of it is asked for."""
    unfinished = _Unfinished(made, options)
    for name in _LATER:
        setattr(made, name, _Later(unfinished, name))
    return made


class _Unfinished:
    """A class that attrs has not seen yet."""

    def __init__(self, made: Any, options: dict[str, Any]) -> None:  # noqa: ANN401  a class
        self.made: Any = made
        self.options = options

    def finish(self) -> None:
        """Let attrs see the class, and those that it inherits from before it; another thread waits until it has."""
        with _FINISHING:
            made, self.made = self.made, None
            if made is None:
                return
            del made.__match_args__  # attrs would take it for the class's own
            fields = attrs.fields(attrs.define(made, slots=False, eq=False, repr=False, init=True, **self.options))
            names = [one.name for one in fields if one.eq]
            made._compared = attrgetter(*names) if names else staticmethod(lambda _: ())  # noqa: SLF001  ours


class _Later:
    """An attribute of an unfinished class: who asks for it finishes the class, and gets what is there then."""

    def __init__(self, unfinished: _Unfinished, name: str) -> None:
        self.unfinished = unfinished
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:  # noqa: ANN401  as attrs
        self.unfinished.finish()
        return getattr(owner if instance is None else instance, self.name)


def _is_equal(self: Any, other: Any) -> Any:  # noqa: ANN401  values of any class
    return self._compared(self) == self._compared(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:  # noqa: ANN401  as above
    return hash((self.__class__, self._compared(self)))


def _text(self: Any) -> str:  # noqa: ANN401  as above
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in attrs.fields(self.__class__) if one.repr)
    return f"{self.__class__.__name__}({', '.join(shown)})"
