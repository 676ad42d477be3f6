"""What a command line says instead of the recipe: `--set` for settings, `--var` for variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli
from attrs import evolve, field

from planner.written import Written, replaced
from state.diagnostic import Place, ProblemError, problem
from state.values import frozen
from state.wording import suggestion

_PLAIN = (str, int, float, list, dict)
DEPTH = 2
"""Names of an address: a field further down may be new, what it belongs to may not."""


@frozen
class Overrides:
    """All that was given from outside; a saved plan remembers it."""

    variables: Mapping[str, str] = field(factory=dict)
    """Texts by the name of the variable; the last `--var` for each."""
    settings: tuple[str, ...] = ()
    """`path=value` as written, later ones over earlier ones."""
    environment: Mapping[str, str] = field(factory=dict)
    """Texts by the name of the variable, from `TUNE_VAR_...`; these may name what the recipe does not have."""

    def without_environment(self, written: Written) -> Overrides:
        """The same on any machine: what the environment gave to variables of this recipe becomes explicit."""
        declared = written.tables.get("vars", {})
        used = {name: text for name, text in self.environment.items() if name in declared}
        return Overrides({**used, **self.variables}, self.settings)


def plain_value(text: str) -> Any:  # noqa: ANN401  whatever the text says
    """A value in TOML's syntax; what is none is the text itself, so that words need no quotes."""
    try:
        document = tomli.loads(f"value = {text}")
    except tomli.TOMLDecodeError:
        return text
    value = document.pop("value")
    # Dates are values of TOML too, and no recipe holds any; a line break may have smuggled in further keys.
    return value if isinstance(value, _PLAIN) and not document else text


def with_settings(written: Written, settings: tuple[str, ...]) -> Written:
    """The tables with each `path=value` set; its place is then the command line."""
    for text in settings:
        written = _with_setting(written, text)
    return written


def _with_setting(written: Written, text: str) -> Written:
    name, equals, value = text.partition("=")
    place = Place(f"--set {name.strip()}")
    path = _path(name)
    if not equals or path is None:
        detail = f"`{text}` sets nothing."
        raise problem("Invalid usage", detail, "Write `--set train.NAME.learning_rate=1e-4`.", Place("--set"))
    for depth in range(1, min(DEPTH, len(path) - 1) + 1):
        if not isinstance(_at(written.tables, path[:depth]), Mapping):
            raise _unknown(written, path[:depth], place)
    tables = replaced(written.tables, path, plain_value(value.strip()))
    dotted = ".".join(path)
    kept = {key: one for key, one in written.where.items() if not key.startswith(f"{dotted}.")}
    # Tables that the setting has put where there was none, or another value, come from the command line as well.
    made = [
        path[:depth] for depth in range(DEPTH, len(path)) if not isinstance(_at(written.tables, path[:depth]), Mapping)
    ]
    return evolve(written, tables=tables, where={**kept, **{".".join(one): place for one in made}, dotted: place})


def _path(name: str) -> tuple[str, ...] | None:
    """A dotted key of at least two parts, read as TOML reads it."""
    try:
        table: Any = tomli.loads(f"{name} = 0")
    except tomli.TOMLDecodeError:
        return None
    path = []
    while isinstance(table, dict):
        if len(table) != 1:
            return None
        key, table = table.popitem()
        path.append(key)
    return tuple(path) if len(path) >= DEPTH else None


def _at(tables: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401  plain values
    for name in path:
        tables = tables.get(name) if isinstance(tables, Mapping) else None
    return tables


def _unknown(written: Written, path: tuple[str, ...], place: Place) -> ProblemError:
    *around, missing = path
    tables = _at(written.tables, path[:-1])
    known = [name for name, one in tables.items() if isinstance(one, Mapping)]
    close = suggestion(missing, known)
    hint = close or (f"It has: {', '.join('.'.join((*around, name)) for name in known)}." if known else "")
    return problem("Unknown path", f"The recipe has no table `{'.'.join(path)}`.", hint, place)
