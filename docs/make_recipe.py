"""Writes docs/reference/recipe.md from the fields of all kinds, and the table of templates in docs/recipe.md.

Run `python docs/make_recipe.py` after a field or template was changed; a test fails until it was.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from executor import kinds
from executor.templates import built_in
from executor.training.stage import Stage
from planner.effects import Effect, Setting, fields, referenced_kinds, table_class
from tune.views.words import value

HERE = Path(__file__).parent
PAGE, REFERENCE = HERE / "recipe.md", HERE / "reference" / "recipe.md"
TEMPLATES = re.compile("<!-- templates -->.*?<!-- end -->\n", re.DOTALL)
HEAD = """\
# Every field of a recipe

Made from the declarations themselves by `docs/make_recipe.py`. What the kinds are for, and how their fields go
together, is told in [the recipe](../recipe.md), and what each kind of change does to a finished resource
[at its beginning](../recipe.md#what-a-change-forces). Any resource also takes a table `lifecycle`, and `matrix`.
"""
COLUMNS = "| field | type | default | a change | because |\n|---|---|---|---|---|"
EFFECTS = {Effect.UPSTREAM: "re-tokenizes"}
DEPENDS = "depends"
NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "table"}


def main() -> None:
    """Rewrite both pages."""
    PAGE.write_text(page(PAGE.read_text()))
    REFERENCE.write_text(reference())


def page(text: str) -> str:
    """The page on recipes with its table of templates made anew."""
    rows = (f"| `{one.name}` | {', '.join(one.families) or 'any model'} |" for one in built_in().values())
    table = ["<!-- templates -->", "| built-in template | `model_type` |", "|---|---|", *rows, "<!-- end -->"]
    return TEMPLATES.sub(lambda _: "\n".join(table) + "\n", text)


def reference() -> str:
    """The page with every field of every kind; methods of training list what they have beside what all have."""
    sections = [HEAD]
    for kind in kinds.load().values():
        for variant, specification in kind.specifications.items():
            all_have = Stage if variant not in ("", "sft") else None
            rows = "\n".join([COLUMNS, *_rows(specification, "", all_have)])
            beside = f"\nBeside the fields of [train sft](#{kind.name}-sft):\n" if all_have else ""
            sections.append(f"## {f'{kind.name} {variant}'.strip()}\n{beside}\n{rows}\n")
    return "\n".join(sections)


def _rows(specification: type, prefix: str, without: type | None = None, *, meant: bool = False) -> Iterator[str]:
    """A row for each field, but for those that are declared just so in another class.

    `meant` says that what is around them asks whether another value means the same.
    """
    shared = {} if without is None else {name: one.metadata for name, one in fields(without).items()}
    for field in fields(specification).values():
        if shared.get(field.name) == field.metadata:
            continue
        head = f"| `{prefix}{field.name}` | {_type(field.type)} | {_default(field)} |"
        kinds_named = referenced_kinds(field)
        if kinds_named:
            yield f"{head} another input | names a {' or '.join(kinds_named)} |"
            continue
        declared: Setting = field.metadata["setting"]
        effect = declared.effect if isinstance(declared.effect, Effect) else DEPENDS
        asks = meant or declared.alike is not None
        told = f"{EFFECTS.get(effect, effect)}{', unless it means the same' if asks else ''}"  # type: ignore[call-overload]  # str too
        yield f"{head} {told} | {declared.why} |"
        inner = table_class(field)
        if inner is not None:
            yield from _rows(inner, f"{prefix}{field.name}.", meant=asks)


def _type(kind: Any) -> str:  # noqa: ANN401  an annotation
    """A field's type in the words of a recipe; options one by one."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{value(one)}`" for one in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments if one is not type(None))
    if origin is tuple:
        return f"list of {_type(arguments[0])}s"
    if isinstance(kind, type) and attrs.has(kind):
        return "table"
    return NAMES.get(origin or kind, "any value")


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    default = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class at run time
        return "an empty table"
    return f"`{value(list(default) if isinstance(default, tuple) else default)}`"


if __name__ == "__main__":
    main()
