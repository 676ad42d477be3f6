"""`[vars]` and `${name}`: values that stand in one place, or come from outside."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from attrs import evolve, field

from planner.overrides import Overrides, plain_value
from planner.secret_values import secrets_in
from planner.written import Written
from state.diagnostic import Diagnostic, Place, ProblemError, errors
from state.values import mutable
from state.wording import show, suggestion

VARIABLES = "vars"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_MARK = r"\$(\$\{)|\$\{([^}]*)\}"
_TYPES = {bool: "true or false", str: "a string", list: "a list"}
_NUMBERS = (int, float)


def with_variables(written: Written, overrides: Overrides) -> Written:
    """The tables with every `${name}` replaced, and without `[vars]`; raises all problems at once."""
    declared = written.tables.get(VARIABLES, {})
    if declared == {} and not overrides.variables and not _is_marked(written.tables):
        return evolve(written, tables={name: one for name, one in written.tables.items() if name != VARIABLES})
    replacing = _Replacing(written, overrides)
    replacing.declare(declared)
    tables = {name: replacing.replaced(one, name) for name, one in written.tables.items() if name != VARIABLES}
    if replacing.found:
        raise ProblemError(errors(replacing.found))
    return evolve(written, tables=tables)


def _is_marked(value: object) -> bool:
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, Mapping):
        return any(_is_marked(one) for one in value.values())
    return isinstance(value, list) and any(_is_marked(one) for one in value)


@mutable
class _Replacing:
    """The variables of one recipe on their way into its strings."""

    written: Written
    overrides: Overrides
    declared: Mapping[str, object] = field(factory=dict, init=False)
    values: dict[str, Any] = field(factory=dict, init=False)
    without_value: set[str] = field(factory=set, init=False)
    found: list[Diagnostic] = field(factory=list, init=False)

    def declare(self, declared: object) -> None:
        """Take the defaults, and what is given instead of them."""
        if not isinstance(declared, Mapping):
            self._wrong("Invalid value", "`vars` must be a table.", "Write it as `[vars]`.", VARIABLES)
            return
        self.declared = declared
        for name, default in declared.items():
            self._declare(name, default)
        for name in sorted(self.overrides.variables.keys() - declared.keys()):
            hint = suggestion(name, list(declared)) or _known(declared)
            detail = f"The recipe declares no variable `{name}`."
            self.found.append(Diagnostic("Unknown variable", detail, hint, Place(f"--var {name}")))
        self.found += secrets_in({VARIABLES: self.values}, self.written)

    def _declare(self, name: str, default: object) -> None:
        path = f"{VARIABLES}.{name}"
        if not re.fullmatch(_NAME, name):
            detail = f"`{name}` cannot name a variable."
            self._wrong("Invalid name", detail, "Use letters, digits and `_`, and no digit first.", path)
        elif _is_marked(default):
            detail = f"`{path}` refers to a variable itself."
            self._wrong("Invalid value", detail, "Put them together where they are used.", path)
        elif isinstance(default, Mapping) and default:
            hint = f"Give it a value, or `{name} = {{}}` where there is no default."
            self._wrong("Invalid value", f"`{path}` must not be a table.", hint, path)
        else:
            self._give(name, None if isinstance(default, Mapping) else default)

    def _give(self, name: str, default: object) -> None:
        for given, place in (
            (self.overrides.variables, Place(f"--var {name}")),
            (self.overrides.environment, Place(f"TUNE_VAR_{name}")),
        ):
            if name in given:
                self._take(name, given[name], default, place)
                return
        if default is None:
            self.without_value.add(name)
        else:
            self.values[name] = default

    def _take(self, name: str, text: str, default: object, place: Place) -> None:
        """What was given must be of the default's type; where that is a string, it is taken as it stands."""
        value = self.values[name] = text if isinstance(default, str) else plain_value(text)
        numbers = type(value) in _NUMBERS and type(default) in _NUMBERS
        if default is not None and type(value) is not type(default) and not numbers:
            expected = _TYPES.get(type(default), "a number")
            detail = f"The variable `{name}` is {expected} by default, and {show(value)} is given."
            hint = f"Give {expected}, or `{name}` another default in `[vars]`."
            self.found.append(Diagnostic("Invalid variable", detail, hint, place))

    def replaced(self, value: object, path: str) -> Any:  # noqa: ANN401  plain values
        """A value with all variables in it replaced."""
        match value:
            case str():
                return self._text(value, path) if "${" in value else value
            case Mapping():
                return {name: self.replaced(one, f"{path}.{name}") for name, one in value.items()}
            case list():
                return [self.replaced(one, f"{path}.{number}") for number, one in enumerate(value)]
            case _:
                return value

    def _text(self, text: str, path: str) -> object:
        whole = re.fullmatch(_MARK, text)
        if whole is not None and whole[2] is not None:
            return self._value(whole[2], path)

        def part(match: re.Match[str]) -> str:
            value = "${" if match[1] else self._value(match[2], path)
            if isinstance(value, list):
                hint = f"Let the string be `${{{match[2]}}}` and nothing else."
                self._wrong("Invalid variable", f"`{match[2]}` is a list, and {path} needs a text.", hint, path)
            return value if isinstance(value, str) else show(value)

        return re.sub(_MARK, part, text)

    def _value(self, name: str, path: str) -> object:
        if name in self.values:
            return self.values[name]
        if name in self.without_value:
            self.without_value.remove(name)
            self.values[name] = ""
            detail = f"The variable `{name}` has no default, and no value was given."
            hint = f"Give one with `--var {name}=...` or the environment variable TUNE_VAR_{name}."
            self._wrong("Missing variable", detail, hint, f"{VARIABLES}.{name}")
        elif name not in self.declared:
            hint = suggestion(name, list(self.declared)) or f"{_known(self.declared)} A `$${{` stands for `${{`."
            self._wrong("Unknown variable", f"{path} uses `${{{name}}}`, which `[vars]` does not have.", hint, path)
        return ""

    def _wrong(self, summary: str, detail: str, hint: str, path: str) -> None:
        self.found.append(Diagnostic(summary, detail, hint, self.written.place(path)))


def _known(names: Collection[str]) -> str:
    return f"Known: {', '.join(names)}." if names else "Declare it: `[vars]` with a line for each, `name = default`."
