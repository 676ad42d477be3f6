"""Validators for recipe fields: a value of the right type that cannot be meant is refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import attrs

from state.shapes import FieldError
from state.wording import show, suggestion

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _limit(accepts: Callable[[Any], bool], expected: str) -> Validator:
    def validate(_: object, field: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401  whatever the field holds
        if value is not None and not isinstance(value, str) and not accepts(value):
            raise FieldError(field.name, f"expected {expected}, got {show(value)}")

    return validate


positive = _limit(lambda value: value > 0, "a number above 0")
not_negative = _limit(lambda value: value >= 0, "a number of 0 or more")
numpy_seed = _limit(lambda value: 0 <= value < 2**32, f"a number from 0 to {2**32 - 1}")
"""What NumPy's generator can be seeded with, as every run of transformers seeds it."""
fraction = _limit(lambda value: 0 <= value < 1, "a number from 0 up to, but not including, 1")
"""For shares of a whole: dropout, validation split, warm-up."""


def not_empty(_: object, field: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401  a string or a tuple
    """Refuse an empty string or list."""
    if not value:
        raise FieldError(field.name, "expected at least one entry, got nothing")


def tags(_: object, field: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401  strings
    """Refuse what nobody could ask for by name: nothing, several lines, or space around it."""
    for one in value:
        if not one.isprintable() or one.strip() != one or not one:
            raise FieldError(field.name, f"{show(one)} is no tag: a tag is a word or a few, without space around them")


def one_of(names: Collection[str]) -> Validator:
    """Names from a list that is too long to be told."""

    def validate(_: object, field: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401  whatever the field holds
        if value not in names:
            hint = suggestion(value, list(names)) or f"Known: {', '.join(sorted(names))}."
            raise FieldError(field.name, f"there is no {show(value)}\n{hint}")

    return validate


def patterns(_: object, field: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401  strings
    """Refuse what is no regular expression."""
    for one in value:
        try:
            re.compile(one)
        except re.error as error:
            raise FieldError(field.name, f"{show(one)} is no regular expression: {error}") from None
