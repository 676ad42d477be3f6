"""Lifecycle at work: edits that are to be ignored are, and what is protected stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from planner.desired import Desired, same
from planner.diff import WORKS, Action
from planner.kind import Kinds, Resource
from planner.lifecycle_table import LIFECYCLE
from planner.plan import Plan, Step
from planner.reason import (
    ArtifactMissing,
    AskedFor,
    CodeChanged,
    ContentChanged,
    FieldChanged,
    InputChanged,
    Reason,
)
from planner.recipe import Recipe
from planner.structure import with_defaults
from state.canonical import Plain
from state.diagnostic import Diagnostic, Place, Severity
from state.record import Record, State
from state.wording import show

_ABSENT = object()


def settled(desired: Desired, resource: Resource, record: Record | None) -> tuple[Desired, tuple[Diagnostic, ...]]:
    """What is desired after `lifecycle` had its say, with a note for every edit that is ignored."""
    if record is None:
        return evolve(desired, protected=bool(resource.lifecycle.protect)), ()
    protect = resource.lifecycle.protect
    protected = record.protected if protect is None else protect
    if not resource.lifecycle.ignore_changes:
        unchanged = (protected, record.generation) == (desired.protected, desired.generation)
        return desired if unchanged else evolve(desired, protected=protected, generation=record.generation), ()
    settings, recorded = desired.settings, with_defaults(record.settings, desired.specification)
    notes = []
    for path in resource.lifecycle.ignore_changes:
        parts = path.split(".")
        now, before = _value(settings, parts), _value(recorded, parts)
        kept = _with(settings, parts, before)
        if not _alike(now, _value(kept, parts)):
            settings = kept
            notes.append(_note(resource, path, now, before))
    return evolve(desired, settings=settings, protected=protected, generation=record.generation), tuple(notes)


def broken_protection(
    plan: Plan, desired: Mapping[str, Desired], state: State, recipe: Recipe, kinds: Kinds
) -> Iterator[Diagnostic]:
    """An error for each step that would rebuild, replace or forget what is protected."""
    for step in plan.steps:
        record, wanted = state.records.get(step.address), desired.get(step.address)
        if record is None or not (record.protected if wanted is None else wanted.protected):
            continue
        harm = _harm(step, record, wanted, kinds)
        if harm:
            yield _refusal(step, harm, recipe)


def _harm(step: Step, record: Record, wanted: Desired | None, kinds: Kinds) -> str:
    """What a step would do to what was made, as a verb; "" if it leaves it alone."""
    if wanted is None:
        return "forget"
    if not record.output_digest:
        return ""
    if step.action in WORKS:
        return kinds[step.kind].verb
    replaced = not wanted.builds and wanted.known.get("", record.output_digest) != record.output_digest
    return "replace" if step.action is Action.ADOPT or replaced else ""


def _refusal(step: Step, harm: str, recipe: Recipe) -> Diagnostic:
    would = "might" if step.conditional else "would"
    causes = tuple(dict.fromkeys(_causes(step.reasons)))
    because = f": {', '.join(causes)}" if causes else ""
    detail = f"{step.address} is protected, and this plan {would} {harm} it{because}."
    table = f"[{step.address}.{LIFECYCLE}]"
    resource = recipe.resources.get(step.address)
    if resource is None:
        removals = {one.address: one.place for one in recipe.refactoring.removals}
        hint = (
            f"To forget it, put its table back with `protect = false` in {table}, apply, and remove it then. "
            f"To leave it alone, use `--exclude {step.address}`."
        )
        return Diagnostic("Protected", detail, hint, removals.get(step.address, Place(recipe.file)))
    hint = f"Undo the edit, leave it out with `--exclude {step.address}`, or write `protect = false` in {table}."
    return Diagnostic("Protected", detail, hint, resource.place(f"{LIFECYCLE}.protect"))


def _causes(reasons: Sequence[Reason], origin: str = "") -> Iterator[str]:
    """The far ends of the chains of reasons: what was really edited; `origin` is the address of another's field."""
    for reason in reasons:
        match reason:
            case FieldChanged(field, before, after):
                yield f"{origin and f'{origin}.'}{field} {show(before)} -> {show(after)}"
            case ContentChanged(name):
                yield f"{name} changed"
            case ArtifactMissing():
                yield "its artifact is missing"
            case AskedFor():
                yield "asked for with --replace"
            case CodeChanged():
                yield "this version of tune builds it differently"
            case InputChanged(input=address, naming="removed"):
                yield f"no longer made from {address}"
            case InputChanged(input=address, because=because):
                yield from _causes(because, address) if because else (f"made from {address}",)
            case _:
                pass


def _note(resource: Resource, path: str, now: object, before: object) -> Diagnostic:
    kept = "left out" if before is _ABSENT else show(before)
    asked = "left out" if now is _ABSENT else show(now)
    detail = f"{resource.address}.{path} stays {kept}, as it was made: {asked} is ignored."
    place = resource.place(f"{LIFECYCLE}.ignore_changes")
    return Diagnostic("Ignored change", detail, place=place, severity=Severity.WARNING)


def _alike(one: object, other: object) -> bool:
    if one is _ABSENT or other is _ABSENT:
        return one is other
    return same(one, other)  # type: ignore[arg-type]  # plain values, both


def _value(settings: Mapping[str, Plain], parts: Sequence[str]) -> object:
    found: object = settings
    for name in parts:
        if not isinstance(found, Mapping) or name not in found:
            return _ABSENT
        found = found[name]
    return found


def _with(settings: Mapping[str, Plain], parts: Sequence[str], value: object) -> Mapping[str, Plain]:
    """The settings with another value at a path; as they are where the table that it is in is not there."""
    name, *rest = parts
    if rest:
        inner = settings.get(name)
        return {**settings, name: _with(inner, rest, value)} if isinstance(inner, Mapping) else settings
    if value is _ABSENT:
        return {key: one for key, one in settings.items() if key != name}
    return {**settings, name: value}  # type: ignore[dict-item]  # taken from settings
