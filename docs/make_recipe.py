"""Writes the tables of docs/recipe.md from the kinds and templates themselves, so that they cannot disagree.

Run `python docs/make_recipe.py` after a field or template was changed; a test fails until it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import attrs

from executor import kinds
from executor.stage import Stage
from executor.templates import built_in
from planner.effects import Effect, Setting, fields, referenced_kinds, table_class
from tune.views.words import value

PAGE = Path(__file__).parent / "recipe.md"
BEGIN, END = "<!-- fields of {} -->", "<!-- end -->"
HEADING = "| field | default | a change | because |\n|---|---|---|---|"
TEMPLATES = re.compile(f"<!-- templates -->.*?{re.escape(END)}\n", re.DOTALL)
DEPENDS = "depends"
EFFECTS = {Effect.UPSTREAM: "re-tokenizes"}


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(page(PAGE.read_text()))


def page(text: str) -> str:
    """The page with every table made anew."""
    text = TEMPLATES.sub(lambda _: f"{templates()}\n", text)
    for kind in kinds.load().values():
        for variant, specification in kind.specifications.items():
            name = f"{kind.name} {variant}".strip()
            begin = BEGIN.format(name)
            shared = Stage if variant not in ("", "sft") else None
            rows = "\n".join([HEADING, *_rows(specification, "", shared)])
            pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(END)}", re.DOTALL)
            found = f"{begin}\n{rows}\n{END}"
            text = pattern.sub(lambda _, found=found: found, text)  # type: ignore[misc]  # bound at once
    return text


def templates() -> str:
    """The built-in chat templates, and the architectures that were trained with them."""
    rows = (f"| `{one.name}` | {', '.join(one.families) or 'any model'} |" for one in built_in().values())
    return "\n".join(["<!-- templates -->", "| built-in template | `model_type` |", "|---|---|", *rows, END])


def _rows(specification: type, prefix: str, without: type | None = None) -> Iterator[str]:
    """A row for each field, but for those that are declared just so in another class."""
    told = {} if without is None else {name: one.metadata for name, one in fields(without).items()}
    for field in fields(specification).values():
        if told.get(field.name) == field.metadata:
            continue
        name = f"`{prefix}{field.name}`"
        kinds_named = referenced_kinds(field)
        if kinds_named:
            yield f"| {name} | {_default(field)} | another input | names a {' or '.join(kinds_named)} |"
            continue
        declared: Setting = field.metadata["setting"]
        effect = declared.effect if isinstance(declared.effect, Effect) else DEPENDS
        yield f"| {name} | {_default(field)} | {EFFECTS.get(effect, effect)} | {declared.why} |"  # type: ignore[call-overload]  # str too
        inner = table_class(field)
        if inner is not None:
            yield from _rows(inner, f"{prefix}{field.name}.")


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    default = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class at run time
        return "a table"
    options = [one for one in get_args(field.type) if isinstance(one, str)]
    shown = f"`{value(list(default) if isinstance(default, tuple) else default)}`"
    return f"{shown}, or {', '.join(f'`{one}`' for one in options if one != default)}" if len(options) > 1 else shown


if __name__ == "__main__":
    main()
