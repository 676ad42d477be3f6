"""What a template may know of a content without looking at it: that it is longer than nothing."""

from __future__ import annotations

from typing import NoReturn


class LookedAtError(Exception):
    """A template asks something of a content that differs from text to text."""


def looked_at(*_: object, **__: object) -> NoReturn:
    """End a proof."""
    message = "the template looks at a content"
    raise LookedAtError(message)


class SealedLength:
    """The length of a text that is not empty: one at least, and nothing else is known of it."""

    def __bool__(self) -> bool:
        """Above zero."""
        return True

    def __ge__(self, other: object) -> bool:
        """At least one."""
        return True if type(other) is int and other <= 1 else looked_at()

    def __gt__(self, other: object) -> bool:
        """Above zero."""
        return True if type(other) is int and other <= 0 else looked_at()

    def __lt__(self, other: object) -> bool:
        """Not below one."""
        return not self >= other

    def __le__(self, other: object) -> bool:
        """Not zero or below."""
        return not self > other

    def __eq__(self, other: object) -> bool:
        """No such number."""
        return not self > other

    def __ne__(self, other: object) -> bool:
        """No such number."""
        return self > other

    def __hash__(self) -> int:
        """None: a key is looked at."""
        return looked_at()

    __str__ = __repr__ = __format__ = __int__ = __float__ = __index__ = looked_at
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __pos__ = __abs__ = looked_at
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = looked_at
