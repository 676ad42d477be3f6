"""What a change to a field forces, said once, where the field is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, TypeAlias, cast

import attrs

from state.canonical import Plain
from state.record import Record
from state.values import frozen


class Effect(StrEnum):
    """What a plan does for a finished resource when a field changes, from the lightest to the heaviest."""

    METADATA = "metadata"
    """Records the new value."""
    RUNTIME = "runtime"
    """Records; holds from the next run on."""
    NUMERICS = "numerics"
    """Records and says so: other rounding, the same training."""
    LENGTH = "length"
    """Continues where the learning rates already used would be the same, else rebuilds."""
    REBUILD = "rebuild"
    """Rebuilds."""
    UPSTREAM = "upstream"
    """Belongs to a derived input (such as the tokens) and reaches this resource only through that input's digest."""


@frozen
class Made:
    """What a result was made with, for rules that ask whether other settings would have made the same."""

    settings: Mapping[str, Plain]
    facts: Mapping[str, Plain]
    """What only making it has shown."""
    inputs: Mapping[str, Sequence[Record]]
    """The records of what it was made from, by field."""


Alike: TypeAlias = Callable[[Made, Mapping[str, Plain]], str]
"""Why other settings say the same of a result as those that it was made with; "" where they do not."""
EffectRule: TypeAlias = Effect | Callable[[Mapping[str, Plain], Mapping[str, Plain]], Effect]
"""A fixed effect, or one that depends on the other settings of the same resource and on the facts known of it."""


@frozen
class Setting:
    """What is declared of a field beside its type and default."""

    effect: EffectRule
    why: str
    """Completes "forces retrain: ..." in a plan."""
    alike: Alike | None = None
    """Asked where another value, of the field or in its table, may mean the same: then it is only recorded."""


UNKNOWN = Setting(Effect.REBUILD, "this version of tune does not know the field")


def setting(
    default: object = attrs.NOTHING,
    *,
    effect: EffectRule,
    why: str,
    validator: Any = None,  # noqa: ANN401  attrs takes several kinds
    alike: Alike | None = None,
) -> Any:  # noqa: ANN401  attrs.field is typed so that the annotation of the class attribute decides
    """A recipe field with its consequence; there is no field without one."""
    metadata = {"setting": Setting(effect, why, alike)}
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # Factory is a class at run time
        return attrs.field(factory=cast("Any", default).factory, metadata=metadata, validator=validator)
    return attrs.field(default=default, metadata=metadata, validator=validator)


def reference(*kinds: str, default: object = attrs.NOTHING, effect: EffectRule = Effect.REBUILD, why: str = "") -> Any:  # noqa: ANN401  as above
    """A recipe field that names one resource of these kinds, or, if it is a tuple, several.

    The effect is that of another output of what it names.
    """
    return attrs.field(default=default, metadata={"refers": kinds, "input": Setting(effect, why)})


def input_effect(specification: type, name: str, settings: Mapping[str, Plain], facts: Mapping[str, Plain]) -> Effect:
    """What another digest of an input forces, given settings and facts; inputs go by the names of reference fields.

    One that no field is named after, such as derived tokens, is what the result is made from.
    """
    field = fields(specification).get(name)
    rule = field.metadata["input"].effect if field is not None and referenced_kinds(field) else Effect.REBUILD
    return rule if isinstance(rule, Effect) else rule(settings, facts)


def referenced_kinds(field: attrs.Attribute[Any]) -> tuple[str, ...]:
    """The kinds that a field may name; empty for a field that is no reference."""
    return cast("tuple[str, ...]", field.metadata.get("refers", ()))


def in_settings(field: attrs.Attribute[Any]) -> bool:
    """Whether a field's value is kept among the resource's own settings."""
    declared = field.metadata.get("setting")
    return isinstance(declared, Setting) and declared.effect is not Effect.UPSTREAM


@cache
def reference_names(specification: type) -> tuple[str, ...]:
    """The names of the fields that name other resources."""
    return tuple(field.name for field in attrs.fields(specification) if referenced_kinds(field))


@cache
def own_fields(specification: type) -> tuple[str, ...]:
    """The names of the fields whose values are kept among the resource's own settings."""
    return tuple(field.name for field in attrs.fields(specification) if in_settings(field))


@cache
def own_values(specification: type) -> Callable[[object], tuple[object, ...]]:
    """A function from an instance of a class to the values of its own fields."""
    names = own_fields(specification)
    return attrgetter(*names) if len(names) > 1 else lambda one: tuple(getattr(one, name) for name in names)


@cache
def upstream_fields(specification: type) -> tuple[str, ...]:
    """The fields that decide what a resource is made from: references, and what belongs to a derived input."""
    return tuple(
        field.name
        for field in attrs.fields(specification)
        if referenced_kinds(field) or ("setting" in field.metadata and not in_settings(field))
    )


@cache
def fields(specification: type[attrs.AttrsInstance]) -> dict[str, attrs.Attribute[Any]]:
    """The fields of a specification class by name, their types resolved from the annotations' text."""
    return attrs.fields_dict(attrs.resolve_types(specification))


@cache
def declared(specification: type, path: str) -> Setting:
    """What is declared of a dotted path below a specification class; the outermost declared field speaks for its table.

    A table whose own fields carry declarations (`checkpoints.save_steps`) is asked for the innermost one.
    """
    name, _, rest = path.partition(".")
    field = fields(specification).get(name)
    if field is None:
        return UNKNOWN
    own = field.metadata.get("setting", UNKNOWN)
    inner = table_class(field)
    if rest and inner is not None:
        deeper = declared(inner, rest)
        if deeper is not UNKNOWN:
            return deeper if own.alike is None else attrs.evolve(deeper, alike=own.alike)
    return cast("Setting", own)


def table_class(field: attrs.Attribute[Any]) -> type | None:
    """The attrs class of a field that is a table in the recipe, optional or not."""
    for candidate in (field.type, *getattr(field.type, "__args__", ())):
        if isinstance(candidate, type) and attrs.has(candidate):
            return candidate
    return None
