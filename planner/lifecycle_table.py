"""`[KIND.NAME.lifecycle]`: what plans may not do to a resource, and which edits of it they leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_origin

from planner.effects import Effect, fields, in_settings, referenced_kinds, setting, table_class
from state.shapes import Fault
from state.values import frozen
from state.wording import suggestion

LIFECYCLE = "lifecycle"
WHY = "it says what plans may do, not what is made"
_IGNORED = f"{LIFECYCLE}.ignore_changes"


@frozen
class Lifecycle:
    """The fields of `lifecycle`, for any kind."""

    protect: bool | None = setting(None, effect=Effect.METADATA, why=WHY)
    """A plan that would rebuild or forget it is an error. Left out: as state has it; losing the line opens nothing."""
    ignore_changes: tuple[str, ...] = setting((), effect=Effect.METADATA, why=WHY)
    """Fields that keep the value that state has, whatever the recipe says."""


def unfit_fields(lifecycle: Lifecycle, specification: type, variant: str) -> Iterator[Fault]:
    """The entries of `ignore_changes` that name nothing of which state keeps a value."""
    for path in lifecycle.ignore_changes:
        if path.partition(".")[0] == variant:
            yield Fault(_IGNORED, f"`{path}` decides which fields there are and cannot be ignored", "Remove it.")
        else:
            message, hint = _objection(path, specification)
            if message:
                yield Fault(_IGNORED, f"`{path}` {message}", hint)


def _objection(path: str, specification: type) -> tuple[str, str]:
    """What speaks against a path, and a hint; empty if nothing does."""
    name, _, rest = path.partition(".")
    field = fields(specification).get(name)
    if field is None:
        known = [one.name for one in fields(specification).values() if in_settings(one)]
        return "is no field of it", suggestion(name, known) or f"Known fields: {', '.join(known)}."
    if referenced_kinds(field):
        return "names what it is made from and cannot be ignored", "Remove it."
    if not in_settings(field):
        return "belongs to what it is made from and cannot be ignored here", "Remove it."
    if not rest:
        return "", ""
    inner = table_class(field)
    if inner is not None:
        return _objection(rest, inner)
    return ("", "") if get_origin(field.type) is dict else ("is no field of it", f"`{name}` has no fields of its own.")
