"""Plain values to specification classes and back: what settings are, and what their defaults are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import compress
from typing import Any

import attrs

from planner.effects import fields, own_fields, own_values, table_class
from state.canonical import Plain
from state.plain import SCALARS, to_plain
from state.shapes import shapes

_converter = shapes(numbers_are_finite=True)
_SETTINGS = "plain settings"
_HOLDING = frozenset({dict, list, tuple})


def structure(value: Mapping[str, Plain], specification: type) -> Any:  # noqa: ANN401  an instance of `specification`
    """The value as an instance of an attrs class; raises MisfitError with all that is wrong with it."""
    return _converter.structure(value, specification)


def settings_of(specification: attrs.AttrsInstance) -> Mapping[str, Plain]:
    """The values that are a resource's own: neither references nor what belongs to a derived input.

    They are asked for several times and stay with the specification, which cannot change, where it has room for them.
    """
    kept: dict[str, Any] = getattr(specification, "__dict__", {})
    found: Mapping[str, Plain] | None = kept.get(_SETTINGS)
    if found is None:
        kind = type(specification)
        own = own_fields(kind)
        values: dict[str, Any] = (
            kept.copy() if len(kept) == len(own) else dict(zip(own, own_values(kind)(specification), strict=True))
        )
        # Most fields hold plain values only, and a recipe may have ten thousand times thirty of them.
        for name in _converted(kind):
            if type(values[name]) not in SCALARS:
                values[name] = to_plain(values[name])
        found = kept[_SETTINGS] = values
    return found


def are_as_recorded(specification: attrs.AttrsInstance, recorded: Mapping[str, Plain]) -> bool:
    """Whether the settings of a specification are plainly those recorded, which then take their place.

    So nothing need compare them again, and one of both is kept.
    """
    if not plainly_equal(recorded, settings_of(specification)):
        return False
    getattr(specification, "__dict__", {})[_SETTINGS] = recorded
    return True


def plainly_equal(recorded: Mapping[str, Plain], wanted: Mapping[str, Plain]) -> bool:
    """Whether the values are equal and of equal types, as nearly all are; what holds others is not looked into."""
    if recorded is wanted:
        return True
    types = [*map(type, wanted.values())]
    if recorded != wanted or [*map(type, map(recorded.__getitem__, wanted))] != types:
        return False
    return not any(compress(wanted.values(), map(_HOLDING.__contains__, types)))


@cache
def _converted(specification: type) -> tuple[str, ...]:
    """The own fields whose values may not be plain as they are."""
    return tuple(name for name in own_fields(specification) if fields(specification)[name].type not in SCALARS)


def with_defaults(settings: Mapping[str, Plain], specification: type) -> dict[str, Plain]:
    """Recorded settings plus the defaults of fields that did not exist when they were recorded."""
    completed = {**_defaults(specification), **settings}
    for name, inner in _tables(specification).items():
        value = completed.get(name)
        if isinstance(value, Mapping):
            completed[name] = with_defaults(value, inner)
    return completed


@cache
def _defaults(specification: type) -> dict[str, Plain]:
    """The defaults of a class's own fields, as plain values that nobody changes."""
    own = [fields(specification)[name] for name in own_fields(specification)]
    return {field.name: to_plain(_default(field)) for field in own if field.default is not attrs.NOTHING}


@cache
def _tables(specification: type) -> dict[str, type]:
    """The own fields that are tables, with their classes."""
    found = {name: table_class(fields(specification)[name]) for name in own_fields(specification)}
    return {name: inner for name, inner in found.items() if inner is not None}


def _default(field: attrs.Attribute[Any]) -> object:
    return field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type,union-attr]
