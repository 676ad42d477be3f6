"""Plain values to our classes, strictly: nothing is coerced, and every misfit is found at once, each with its path."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import cache, partial
from typing import Any, Literal, Self, TypeAlias, Union, cast, get_args, get_origin

import attrs
from attrs import field
from cattrs import BaseConverter

from state.canonical import TABLES, Plain
from state.values import frozen, mutable
from state.wording import show, suggestion

Reader: TypeAlias = Callable[[Any, Any], Any]
"""Takes a plain value and a type, and gives the value as an instance of the type; raises MisfitError."""


@frozen
class Fault:
    """What is wrong with one field: its dotted path, a sentence, and what to do about it."""

    path: str
    message: str
    hint: str = ""
    summary: str = "Invalid value"


class MisfitError(ValueError):
    """A value that does not have the shape of a type: all that is wrong with it."""

    def __init__(self, *faults: Fault) -> None:
        """Carry the faults, their paths counted from the value."""
        super().__init__("; ".join(f"{one.path}: {one.message}".removeprefix(": ") for one in faults))
        self.faults = faults

    @classmethod
    def expected(cls, what: str, value: object) -> Self:
        """The misfit of a value that is of another type."""
        return cls(Fault("", f"expected {what}, got {show(value)}"))

    def inside(self, name: str) -> Iterator[Fault]:
        """The faults as those of what holds the value under a name."""
        return (attrs.evolve(one, path=f"{name}.{one.path}".rstrip(".")) for one in self.faults)


class FieldError(MisfitError):
    """Raised by a validator: the field's value has the right type but cannot be meant."""

    def __init__(self, name: str, message: str) -> None:
        """Name the field within its own class; what follows in a second line is the hint."""
        text, _, hint = message.partition("\n")
        super().__init__(Fault(name, text, hint))


def shapes(*, numbers_are_finite: bool) -> BaseConverter:
    """A converter whose `structure` gives a plain value as an instance of a type; it raises MisfitError.

    Only what finds the reader of a type is cattrs' own: its readers coerce, and stop at the first fault.
    """
    converter = BaseConverter()
    for primitive, reader in _PRIMITIVES.items():
        converter.register_structure_hook(primitive, reader)
    if not numbers_are_finite:
        converter.register_structure_hook(float, _number)
    converter.register_structure_hook(Plain, lambda value, _: value)
    converter.register_structure_hook_factory(attrs.has, lambda kind: _Table.of(kind, converter).read)
    for origin, reader_of in _GENERIC.items():
        converter.register_structure_hook_factory(partial(_is_a, origin), partial(reader_of, converter))
    return converter


def _taken(kind: Any, converter: BaseConverter) -> type | None:  # noqa: ANN401  a type
    """The type of plain values that are instances of the type as they are; None if there is none."""
    if kind in (str, int, bool) or (kind is float and converter.get_structure_hook(float) is _number):
        return cast("type", kind)
    return dict if get_origin(kind) is Mapping and get_args(kind)[1] is Plain else None


def _is_a(origin: object, kind: object) -> bool:
    """Whether a type is a parametrised `origin`, such as tuple[str, ...]."""
    return get_origin(kind) is origin


@mutable
class _Table:
    """Reads tables as instances of one class; the types of its fields are looked up when they are met."""

    kind: type
    converter: BaseConverter
    fields: dict[str, attrs.Attribute[Any]]
    required: frozenset[str]
    readers: dict[str, tuple[Reader, Any]] = field(factory=dict, init=False)
    """By field the reader and the type that it is to read."""
    taken: dict[str, type | None] = field(factory=dict, init=False)
    """By field the type of plain values that are taken as they are, which most of a state are."""
    seen: dict[tuple[object, ...], tuple[str, ...]] = field(factory=dict, init=False)
    """By the names of a table and then their values' types, the names whose values have to be read."""

    @classmethod
    def of(cls, kind: Any, converter: BaseConverter) -> _Table:  # noqa: ANN401  an attrs class
        """The reader of a class."""
        fields = {one.name: one for one in attrs.fields(attrs.resolve_types(kind))}
        required = frozenset(name for name, one in fields.items() if one.default is attrs.NOTHING)
        return cls(kind, converter, fields, required)

    def read(self, value: object, _: object) -> object:
        """The instance; faults come in the order of the fields, and names that are none of them last."""
        given = dict(_table(value))
        shape = (*given, *map(type, given.values()))
        names = self.seen.get(shape)
        if names is None:
            return self._first(given, shape)
        readers = self.readers
        try:
            for name in names:
                read, kind = readers[name]
                given[name] = read(given[name], kind)
            return self.kind(**given)
        except MisfitError:
            return self._first(dict(_table(value)), shape)

    def _first(self, given: dict[str, object], shape: tuple[object, ...]) -> object:
        """The instance of the first table of its shape, or all that is wrong with it."""
        wrong: dict[str, tuple[Fault, ...]] = {}
        for name, one in given.items():
            try:
                read, kind = self.readers.get(name) or self._reader(name)
                given[name] = read(one, kind)
            except MisfitError as error:
                wrong[name] = tuple(error.inside(name) if name in self.fields else error.faults)
            else:
                wrong |= self._refused(name, given[name])
        wrong |= {name: (self._missing(name),) for name in self.required - given.keys()}
        if wrong:
            order = [*self.fields, *sorted(wrong.keys() - self.fields.keys())]
            raise MisfitError(*(fault for name in order for fault in wrong.get(name, ())))
        types = zip(given, shape[len(given) :], strict=True)
        self.seen[shape] = tuple(name for name, one in types if one is not self.taken[name])
        return self.kind(**given)

    def _reader(self, name: str) -> tuple[Reader, Any]:
        """The reader of a field, made when the field is first met."""
        if name not in self.fields:
            known = list(self.fields)
            hint = suggestion(name, known) or f"Known fields: {', '.join(known)}."
            raise MisfitError(Fault(name, "there is no such field", hint, "Unknown field"))
        kind: Any = self.fields[name].type
        self.taken[name] = _taken(kind, self.converter)
        found = self.readers[name] = self.converter.get_structure_hook(kind), kind
        return found

    def _refused(self, name: str, value: object) -> dict[str, tuple[Fault, ...]]:
        """What the validator of a field says against a value, which making an instance would say of one field only."""
        validator: Any = self.fields[name].validator
        try:
            if validator is not None:
                validator(None, self.fields[name], value)
        except MisfitError as error:
            return {name: error.faults}
        return {}

    def _missing(self, name: str) -> Fault:
        return missing(name, self.fields[name].metadata.get("refers", ()))


def missing(name: str, kinds: tuple[str, ...] = ()) -> Fault:
    """The fault of a field that is left out; `kinds` are those that it may name."""
    hint = f'It names a {" or ".join(kinds)}: `{name} = "{kinds[0]}.NAME"`.' if kinds else f"Write `{name} = ...`."
    return Fault(name, "this field is required", hint, "Missing field")


def _exactly(name: str, value: object, kind: type) -> object:
    """A value of just this type, or the member of an enumeration of such values."""
    if issubclass(kind, Enum):
        return _member(kind, value)
    if type(value) is not kind:
        raise MisfitError.expected(name, value)
    return value


def _number(value: object, _: type) -> float:
    if type(value) is not float and type(value) is not int:
        raise MisfitError.expected("a number", value)
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        raise MisfitError.expected("a number", value) from None


def _finite(value: object, kind: type) -> float:
    number = _number(value, kind)
    if not math.isfinite(number):
        raise MisfitError.expected("a number", value)
    return number


_PRIMITIVES: dict[type, Reader] = {
    bool: partial(_exactly, "true or false"),
    int: partial(_exactly, "a whole number"),
    str: partial(_exactly, "a string"),
    float: _finite,
}


def _member(kind: type[Enum], value: object) -> Enum:
    try:
        return _members(kind)[value]
    except (KeyError, TypeError):  # a list or table cannot even be looked up
        raise MisfitError.expected(f"one of {', '.join(map(show, _members(kind)))}", value) from None


@cache
def _members(kind: type[Enum]) -> Mapping[object, Enum]:
    """The members by value: asking the class takes three times as long."""
    return {one.value: one for one in kind}


def _table(value: object) -> Mapping[str, Any]:
    if not isinstance(value, TABLES):
        raise MisfitError.expected("a table", value)
    return cast("Mapping[str, Any]", value)


def _list(converter: BaseConverter, kind: Any) -> Reader:  # noqa: ANN401  a type
    inner = get_args(kind)[0]

    def read(value: object, _: object) -> tuple[object, ...]:
        if not isinstance(value, list | tuple):
            raise MisfitError.expected("a list", value)
        if not value:  # most are, and nothing need be known of what they would hold
            return ()
        read_one = converter.get_structure_hook(inner)
        made: list[object] = []
        wrong: list[Fault] = []
        for position, one in enumerate(value):
            try:
                made.append(read_one(one, inner))
            except MisfitError as error:
                wrong += error.inside(str(position))
        if wrong:
            raise MisfitError(*wrong)
        return tuple(made)

    return read


def _mapping(converter: BaseConverter, kind: Any) -> Reader:  # noqa: ANN401  a type
    """Of a table whose values have one shape; plain ones stay as they are."""
    inner = get_args(kind)[1]
    taken = {_taken(inner, converter)}

    def read(value: object, _: object) -> Mapping[str, Any]:
        given = _table(value)
        if inner is Plain or taken.issuperset(map(type, given.values())):
            return given
        read_one = converter.get_structure_hook(inner)
        return {name: read_one(one, inner) for name, one in given.items()}

    return read


def _one_of(converter: BaseConverter, kind: Any) -> Reader:  # noqa: ANN401  a type
    """The members of a union are told apart by the value's own type; the last one explains a misfit."""
    may_be_none = type(None) in get_args(kind)
    *others, last = ((one, converter.get_structure_hook(one)) for one in get_args(kind) if one is not type(None))

    def read(value: object, _: object) -> object:
        if value is None and may_be_none:
            return None
        for member, read_one in others:
            try:
                return read_one(value, member)
            except MisfitError:
                continue
        return last[1](value, last[0])

    return read


def _literal(_: BaseConverter, kind: Any) -> Reader:  # noqa: ANN401  a type
    options = get_args(kind)
    types = {type(option) for option in options}

    def read(value: object, _: object) -> object:
        if value in options and type(value) in types:
            return value
        close = suggestion(value, [one for one in options if isinstance(one, str)]) if isinstance(value, str) else ""
        names = ", ".join(show(option) for option in options)
        raise MisfitError(Fault("", f"expected one of {names}; got {show(value)}", close))

    return read


def _free_table(_: BaseConverter, __: object) -> Reader:
    """Of a table of a recipe in which anything may stand that can be identified."""
    return lambda value, _: _identifiable(_table(value))


def _identifiable(value: object) -> Plain:
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _identifiable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_identifiable(one) for one in value]
    raise MisfitError.expected("a string, number, list or table", value)


_GENERIC: dict[Any, Callable[[BaseConverter, Any], Reader]] = {
    Union: _one_of,
    types.UnionType: _one_of,
    tuple: _list,
    Literal: _literal,
    dict: _free_table,
    Mapping: _mapping,
}
