"""A plan as JSON, for machines, for saving and for approving by digest; and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from planner.desired import Given
from planner.diff import Action
from planner.effects import Effect
from planner.kind import Source
from planner.overrides import Overrides
from planner.plan import Plan, Selection, StateVersion, Step
from planner.reason import CODES, InputChanged, Reason
from state import plain as plain_values
from state.canonical import Plain, digest, matches
from state.diagnostic import Diagnostic, Place, Severity, problem
from state.plain import from_plain, record_to_plain
from state.record import Checkpoint
from state.secrets import without_secrets
from state.values import frozen

FORMAT = "tune-plan/1"
_SAVE = "Save one with `tune plan --out FILE`."
_REASONS = {code: reason for reason, code in CODES.items()}


@frozen
class SavedMeaning:
    """What a saved plan says of what its recipe meant."""

    digest: str


def to_plain(plan: Plan) -> dict[str, Plain]:
    """The plan as the documented JSON; deterministic, with paths relative to the recipe's folder."""
    body: dict[str, Plain] = {
        "format": FORMAT,
        "recipe": {"path": plan.recipe, "digest": plan.recipe_digest, **_overrides_to_plain(plan.overrides)},
        "state": record_to_plain(plan.state),
        "selection": {**record_to_plain(plan.selection), "left_out": list(plan.left_out)},
        "summary": {action.value: plan.count(action) for action in _SUMMARY},
        "steps": [_step_to_plain(step) for step in plan.steps],
        "diagnostics": [diagnostic_to_plain(one) for one in plan.diagnostics],
    }
    return {"plan_digest": digest(_decided(body)), **body}


def _decided(body: Mapping[str, Any]) -> dict[str, Plain]:
    """What a digest approves: all that is done. What is said of it depends on what a machine has and can look at."""
    steps = [{name: value for name, value in step.items() if name != "notes"} for step in body["steps"]]
    return {**body, "steps": steps, "diagnostics": []}


_SUMMARY = (
    Action.BUILD,
    Action.REBUILD,
    Action.RESUME,
    Action.EXTEND,
    Action.UPDATE,
    Action.ADOPT,
    Action.MOVE,
    Action.FORGET,
    Action.REUSE,
)


def dumps(plan: Plan, recipe: str) -> str:
    """The text of a saved plan; `recipe` is the path of its recipe from the folder of the plan file.

    Where a plan is saved is not part of what it says, so the path stands outside the digest.
    """
    body = {"location": recipe, **to_plain(plan)}
    return json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def location(text: str) -> str:
    """The path of the recipe from the folder of a plan file that `loads` has accepted."""
    return str(json.loads(text).get("location", ""))


def loads(text: str, file: str) -> Plan:
    """The plan in a saved text; raises ProblemError if it is not one, is damaged, or is from a newer tune."""
    place = Place(file)
    try:
        body = json.loads(text)
    except ValueError as error:
        raise problem("Not a plan", f"`{file}` is not JSON: {error}.", _SAVE, place) from None
    if not isinstance(body, dict) or not str(body.get("format", "")).startswith("tune-plan/"):
        raise problem("Not a plan", f"`{file}` was not written by `tune plan --out`.", _SAVE, place)
    if body["format"] != FORMAT:
        detail = f"`{file}` has the format {body['format']}; this tune reads {FORMAT}."
        raise problem("Plan from a newer tune", detail, "Upgrade tune, or make the plan again.", place)
    body.pop("location", None)
    claimed = body.pop("plan_digest", None)
    if not _is_whole(claimed, body):
        detail = f"The content of `{file}` does not match its own digest: it was edited or damaged."
        raise problem("Damaged plan", detail, "Make the plan again with `tune plan --out`.", place)
    try:
        return _plan_from_plain(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        detail = f"`{file}` does not have the shape of {FORMAT}: {error}."
        raise problem("Damaged plan", detail, "Make the plan again with `tune plan --out`.", place) from None


def _is_whole(claimed: object, body: Mapping[str, Any]) -> bool:
    """Whether a plan is the one that was digested."""
    try:
        return matches(claimed, _decided(body))
    except (KeyError, TypeError, AttributeError):
        return False


def diagnostic_to_plain(diagnostic: Diagnostic) -> dict[str, Plain]:
    """A diagnostic as plans and `--json` output hold it."""
    place = diagnostic.place
    return {
        "severity": diagnostic.severity.value,
        "code": diagnostic.code,
        "summary": diagnostic.summary,
        "detail": without_secrets(diagnostic.detail),
        "hint": without_secrets(diagnostic.hint),
        "place": {"file": place.file, "line": place.line, "column": place.column} if place.file else None,
    }


def reason_to_plain(reason: Reason) -> dict[str, Plain]:
    """A reason with its stable code, and the chain below it."""
    body = record_to_plain(reason)
    if isinstance(reason, InputChanged):
        body["because"] = [reason_to_plain(one) for one in reason.because]
    return {"code": CODES[type(reason)], **body}


def _overrides_to_plain(overrides: Overrides) -> dict[str, Plain]:
    """Nothing where nothing was given: the usual plan says no more than it did before there were overrides."""
    given: dict[str, Plain] = {"variables": dict(overrides.variables), "settings": list(overrides.settings)}
    return {name: one for name, one in given.items() if one}


def _step_to_plain(step: Step) -> dict[str, Plain]:
    return {
        "address": step.address,
        "kind": step.kind,
        "action": step.action.value,
        "conditional": step.conditional,
        "moved_from": step.moved_from,
        "reasons": [reason_to_plain(one) for one in step.reasons],
        "resume_from": plain_values.to_plain(step.resume_from),
        "settings": dict(step.settings),
        "content": dict(step.content),
        "inputs": {name: [_given_to_plain(one) for one in group] for name, group in step.inputs.items()},
        "code": step.code,
        "facts": dict(step.facts),
        "estimate": dict(step.estimate),
        **({"notes": dict(step.notes)} if step.notes else {}),
    }


def _given_to_plain(given: Given) -> dict[str, Plain]:
    return {"address": given.source.address, "part": given.source.part, "digest": given.digest}


def _plan_from_plain(body: Mapping[str, Any]) -> Plan:
    recipe = body["recipe"]
    return Plan(
        recipe=recipe["path"],
        meaning=SavedMeaning(recipe["digest"]),
        state=from_plain(body["state"], StateVersion),
        steps=tuple(_step_from_plain(step) for step in body["steps"]),
        diagnostics=tuple(diagnostic_from_plain(one) for one in body["diagnostics"]),
        overrides=_overrides_from_plain(recipe),
        selection=_selection(body["selection"]),
        left_out=tuple(body["selection"]["left_out"]),
    )


def _selection(body: Mapping[str, Any]) -> Selection:
    return Selection(tuple(body["target"]), tuple(body["exclude"]), tuple(body["replace"]))


def _overrides_from_plain(recipe: Mapping[str, Any]) -> Overrides:
    variables = {name: str(text) for name, text in recipe.get("variables", {}).items()}
    return Overrides(variables, tuple(str(text) for text in recipe.get("settings", ())))


def _step_from_plain(body: Mapping[str, Any]) -> Step:
    return Step(
        address=body["address"],
        kind=body["kind"],
        action=Action(body["action"]),
        conditional=body["conditional"],
        reasons=tuple(_reason_from_plain(one) for one in body["reasons"]),
        resume_from=from_plain(body["resume_from"], cast("Any", Checkpoint | None)),
        settings=body["settings"],
        content=body["content"],
        inputs={
            name: tuple(Given(Source(one["address"], one["part"]), one["digest"]) for one in group)
            for name, group in body["inputs"].items()
        },
        code=body["code"],
        facts=body["facts"],
        estimate=body["estimate"],
        notes=body.get("notes", {}),
        moved_from=body["moved_from"],
    )


def _reason_from_plain(body: Mapping[str, Any]) -> Reason:
    fields = {name: value for name, value in body.items() if name != "code"}
    reason = _REASONS[body["code"]]
    if "because" in fields:
        fields["because"] = tuple(_reason_from_plain(one) for one in fields["because"])
    if "effect" in fields:
        fields["effect"] = Effect(fields["effect"])
    return reason(**fields)


def diagnostic_from_plain(body: Mapping[str, Any]) -> Diagnostic:
    """The reverse of `diagnostic_to_plain`."""
    place = Place(**body["place"]) if body["place"] else Place("")
    return Diagnostic(body["summary"], body["detail"], body["hint"], place, Severity(body["severity"]))
