"""Writes docs/reference/plan.schema.json from the classes that a plan is made of, so that they cannot disagree.

Run `python docs/make_plan_schema.py` after one of them was changed; a test fails until it was.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_origin

import attrs

from planner import reason as reasons
from planner.diff import Action
from planner.plan import Selection, StateVersion
from planner.planfile import FORMAT
from planner.reason import CODES, InputChanged
from state.canonical import Plain
from state.diagnostic import Place, Severity
from state.plain import later_fields
from state.record import Checkpoint

PAGE = Path(__file__).parent / "reference" / "plan.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
ANYTHING: dict[str, Any] = {"description": "A setting's value: any JSON."}
STRING: dict[str, Any] = {"type": "string"}
DIGEST: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_SCALARS: dict[object, dict[str, Any]] = {
    str: STRING,
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Plain: ANYTHING,
}


def main() -> None:
    """Rewrite the schema."""
    PAGE.write_text(text())


def text() -> str:
    """The schema's file."""
    return json.dumps(schema(), indent=1) + "\n"


def schema() -> dict[str, Any]:
    """What `tune plan --json` and `--out` write; open for what later versions add."""
    return {
        "$schema": DIALECT,
        "title": f"A plan of tune, format {FORMAT}",
        "description": "What `tune plan --json`, `tune plan --out` and `tune show --json` write.",
        **_object(
            {
                "format": {"const": FORMAT},
                "plan_digest": {**DIGEST, "description": "Of everything but `location`; what --expect-digest takes."},
                "location": {**STRING, "description": "Saved plans only: the recipe's path from the plan file."},
                "recipe": _recipe(),
                "state": _class(StateVersion),
                "selection": _selection(),
                "summary": _object({action.value: {"type": "integer", "minimum": 0} for action in Action}),
                "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}},
                "diagnostics": {"type": "array", "items": {"$ref": "#/$defs/diagnostic"}},
            },
            optional=("location",),
        ),
        "$defs": {
            "step": _step(),
            "reason": _reason(),
            "diagnostic": _diagnostic(),
            **{code: _reason_of(kind, code) for kind, code in CODES.items()},
        },
    }


def _recipe() -> dict[str, Any]:
    given = {
        "variables": {**_table(STRING), "description": "What --var and TUNE_VAR_... gave."},
        "settings": {"type": "array", "items": STRING, "description": "What --set gave."},
    }
    return _object({"path": STRING, "digest": STRING, **given}, optional=tuple(given))


def _selection() -> dict[str, Any]:
    chosen: dict[str, Any] = _class(Selection)["properties"]
    return _object({**chosen, "left_out": {"type": "array", "items": STRING}})


def _step() -> dict[str, Any]:
    given = _object({"address": STRING, "part": STRING, "digest": {"type": ["string", "null"]}})
    return _object(
        {
            "address": STRING,
            "kind": STRING,
            "action": {"enum": [action.value for action in Action]},
            "conditional": {"type": "boolean", "description": "May turn out, while applying, to be nothing to do."},
            "reasons": {"type": "array", "items": {"$ref": "#/$defs/reason"}},
            "resume_from": {"anyOf": [_class(Checkpoint), {"type": "null"}]},
            "settings": _table(ANYTHING),
            "content": {**_table(STRING), "description": "Digests of what was read from outside the recipe, by name."},
            "inputs": _table({"type": "array", "items": given}),
            "code": {"type": "integer"},
            "facts": _table(ANYTHING),
            "moved_from": {**STRING, "description": "The address that its record still has in state, or nothing."},
            "estimate": _object(
                {"seconds": {"type": "number"}, "gpu_seconds": {"type": "number"}, "basis": STRING},
                optional=("seconds", "gpu_seconds", "basis"),
            ),
            "notes": {
                **_table(ANYTHING),
                "description": "What decides nothing; `places` says where the recipe has each changed field.",
            },
        },
        optional=("notes",),
    )


def _reason() -> dict[str, Any]:
    """Told apart by `code`; a code that this schema does not know is a reason all the same."""
    known = [
        {"if": {"properties": {"code": {"const": code}}}, "then": {"$ref": f"#/$defs/{code}"}}
        for code in CODES.values()
    ]
    return {"type": "object", "required": ["code"], "properties": {"code": STRING}, "allOf": known}


def _reason_of(kind: type, code: str) -> dict[str, Any]:
    made = _class(kind, {"code": {"const": code}})
    return {"description": inspect.getdoc(kind), **made}


def _diagnostic() -> dict[str, Any]:
    return _object(
        {
            "severity": {"enum": [one.value for one in Severity]},
            "code": STRING,
            "summary": STRING,
            "detail": STRING,
            "hint": STRING,
            "place": {"anyOf": [_class(Place), {"type": "null"}]},
        }
    )


def _class(kind: type, first: Mapping[str, Any] | None = None) -> dict[str, Any]:
    resolved = attrs.resolve_types(kind, vars(reasons))
    properties = {**(first or {}), **{one.name: _type(one.type) for one in attrs.fields(resolved)}}
    return _object(properties, later_fields(kind))


def _type(kind: Any) -> dict[str, Any]:  # noqa: ANN401  an annotation
    if kind in _SCALARS:
        return _SCALARS[kind]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"enum": [one.value for one in kind]}
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        inner = arguments[0]
        return {"type": "array", "items": {"$ref": "#/$defs/reason"} if _is_reason(inner) else _type(inner)}
    if isinstance(kind, types.UnionType):
        return {"anyOf": [{"type": "null"} if one is types.NoneType else _type(one) for one in arguments]}
    message = f"the schema has no word for {kind}"
    raise TypeError(message)


def _is_reason(kind: object) -> bool:
    return InputChanged in get_args(kind)


def _object(properties: Mapping[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": dict(properties)}


def _table(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": dict(values)}


if __name__ == "__main__":
    main()
