"""Plain values to specification classes, strictly: nothing is coerced, and every problem is found at once."""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, Union, cast, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from planner.effects import fields, own_fields, referenced_kinds, table_class
from state.canonical import Plain
from state.values import frozen


@frozen
class Fault:
    """What is wrong with one field: its dotted path, a sentence, and what to do about it."""

    path: str
    message: str
    hint: str = ""
    summary: str = "Invalid value"


class FieldError(ValueError):
    """Raised by a validator: the field's value has the right type but cannot be meant."""

    def __init__(self, name: str, message: str) -> None:
        """Name the field within its own class; the path is added on the way up."""
        super().__init__(message)
        self.name = name


def structure(value: Mapping[str, Plain], specification: type) -> Any:  # noqa: ANN401  an instance of `specification`
    """The value as an instance of an attrs class; raises cattrs errors that `faults` explains."""
    return _converter().structure(value, specification)


def faults(error: BaseException, specification: type) -> tuple[Fault, ...]:
    """All that is wrong, in the words of the recipe."""
    return tuple(_explain(error, "", specification))


def settings_of(specification: attrs.AttrsInstance) -> dict[str, Plain]:
    """The values that are a resource's own: neither references nor what belongs to a derived input."""
    return {name: _unstructured(getattr(specification, name)) for name in own_fields(type(specification))}


_SCALARS = frozenset({str, int, float, bool, type(None)})


def _unstructured(value: object) -> Plain:
    """A field's value as plain values; most are plain already, and a recipe may have ten thousands of them."""
    return value if type(value) in _SCALARS else _converter().unstructure(value)  # type: ignore[return-value]  # narrowed by type()


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
    return {field.name: _unstructured(_default(field)) for field in own if field.default is not attrs.NOTHING}


@cache
def _tables(specification: type) -> dict[str, type]:
    """The own fields that are tables, with their classes."""
    found = {name: table_class(fields(specification)[name]) for name in own_fields(specification)}
    return {name: inner for name, inner in found.items() if inner is not None}


def required_hint(name: str, kinds: Sequence[str] = ()) -> str:
    """How to write a field that is left out; `kinds` are those that it may name."""
    return f'It names a {" or ".join(kinds)}: `{name} = "{kinds[0]}.NAME"`.' if kinds else f"Write `{name} = ...`."


def suggestion(word: str, known: list[str]) -> str:
    """The "did you mean" sentence, or "" where nothing is close."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean `{close[0]}`?" if close else ""


def _default(field: attrs.Attribute[Any]) -> object:
    return field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type,union-attr]


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for primitive, name in ((bool, "true or false"), (int, "a whole number"), (str, "a string")):
        converter.register_structure_hook(primitive, _exactly(primitive, name))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(_is_a(tuple), _tuple_hook(converter))
    converter.register_structure_hook_func(_is_union, _union_hook(converter))
    converter.register_structure_hook_func(_is_a(Literal), _literal)
    converter.register_structure_hook_func(_is_a(dict), _table)
    converter.register_structure_hook_factory(attrs.has, lambda kind: _class_hook(kind, converter))
    return converter


def _class_hook(kind: Any, converter: cattrs.Converter) -> Any:  # noqa: ANN401  an attrs class and its cattrs hook
    """A table becomes an instance; anything else is told in the words of a recipe."""
    make = make_dict_structure_fn(kind, converter)

    def hook(value: object, cls: Any) -> object:  # noqa: ANN401
        if not isinstance(value, Mapping):
            message = f"expected a table, got {show(value)}"
            raise TypeError(message)
        return make(value, cls)

    return hook


def _is_a(origin: object) -> Callable[[Any], bool]:
    """Whether a type is a parametrised `origin`, such as tuple[str, ...]."""
    return lambda kind: bool(get_origin(kind) is origin)


def _exactly(primitive: type, name: str) -> Any:  # noqa: ANN401  a cattrs hook
    def hook(value: object, _: object) -> object:
        if type(value) is not primitive:
            message = f"expected {name}, got {show(value)}"
            raise TypeError(message)
        return value

    return hook


def _is_finite(value: float) -> bool:
    """Whole numbers of a recipe can be larger than any number with a point."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _number(value: object, _: object) -> float:
    if type(value) not in (int, float) or not _is_finite(cast("float", value)):
        message = f"expected a number, got {show(value)}"
        raise TypeError(message)
    return float(cast("float", value))


def _tuple_hook(converter: cattrs.Converter) -> Any:  # noqa: ANN401  a cattrs hook
    def hook(value: object, kind: Any) -> tuple[object, ...]:  # noqa: ANN401
        if not isinstance(value, list | tuple):
            message = f"expected a list, got {show(value)}"
            raise TypeError(message)
        made: list[object] = []
        wrong: list[Exception] = []
        for position, one in enumerate(value):
            try:
                made.append(converter.structure(one, get_args(kind)[0]))
            except (TypeError, ValueError, BaseValidationError) as error:
                error.add_note(IterableValidationNote("in a list", position, kind))
                wrong.append(error)
        if wrong:
            raise IterableValidationError("in a list", wrong, kind)
        return tuple(made)

    return hook


def _is_union(kind: object) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _union_hook(converter: cattrs.Converter) -> Any:  # noqa: ANN401  a cattrs hook
    """Unions in specifications are told apart by the value's own type; the last member explains a misfit."""

    def hook(value: object, kind: Any) -> object:  # noqa: ANN401
        members = get_args(kind)
        if value is None and type(None) in members:
            return None
        members = tuple(member for member in members if member is not type(None))
        for member in members[:-1]:
            try:
                return converter.structure(value, member)
            except (TypeError, ValueError, BaseValidationError):
                continue
        return converter.structure(value, members[-1])

    return hook


def _literal(value: object, kind: Any) -> object:  # noqa: ANN401  a cattrs hook
    options = get_args(kind)
    if value in options and any(type(value) is type(option) for option in options):
        return value
    names = ", ".join(show(option) for option in options)
    close = (
        suggestion(value, [option for option in options if isinstance(option, str)]) if isinstance(value, str) else ""
    )
    message = f"expected one of {names}; got {show(value)}"
    raise FieldError("", f"{message}\n{close}")


def _table(value: object, _: object) -> dict[str, Plain]:
    if not isinstance(value, Mapping):
        message = f"expected a table, got {show(value)}"
        raise TypeError(message)
    return {str(key): _plain(one) for key, one in value.items()}


def _plain(value: object) -> Plain:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    message = f"expected a string, number, list or table, got {show(value)}"
    raise TypeError(message)


def show(value: object) -> str:
    """A value as a recipe writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case None:
            return "nothing"
        case list() | tuple():
            return f"[{', '.join(show(one) for one in value)}]"
        case Mapping():
            return "a table"
        case _:
            return str(value)


def _explain(error: BaseException, path: str, specification: type | None) -> Iterator[Fault]:
    match error:
        case BaseExceptionGroup():
            for inner in error.exceptions:
                yield from _explain(inner, *_step(inner, path, specification))
        case ForbiddenExtraKeysError():
            known = [field.name for field in attrs.fields(error.cl)]
            for key in sorted(error.extra_fields):
                hint = suggestion(key, known) or f"Known fields: {', '.join(known)}."
                yield Fault(_join(path, key), "there is no such field", hint, summary="Unknown field")
        case KeyError() if specification is not None and attrs.has(specification):
            name = str(error.args[0])
            hint = required_hint(name, referenced_kinds(fields(specification)[name]))
            yield Fault(_join(path, name), "this field is required", hint, summary="Missing field")
        case FieldError():
            message, _, hint = str(error).partition("\n")
            yield Fault(_join(path, error.name), message, hint)
        case _:
            yield Fault(path, str(error))


def _step(error: BaseException, path: str, specification: type | None) -> tuple[str, type | None]:
    """The path and class one level further in, as cattrs noted them on the error."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            if isinstance(error, KeyError):
                return path, specification
            field = fields(specification).get(note.name) if specification is not None else None
            return _join(path, note.name), table_class(field) if field is not None else None
        if isinstance(note, IterableValidationNote):
            return _join(path, str(note.index)), specification
    return path, specification


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
