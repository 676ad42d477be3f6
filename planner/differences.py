"""How what is desired of a resource differs from what its record says: fields, contents, inputs, code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from planner.desired import IDENTITY, Desired, Given, effect_of, flatten, same
from planner.effects import Effect, Made, declared, fields, input_effect, table_class
from planner.lifecycle_table import LIFECYCLE, WHY
from planner.reason import (
    AskedFor,
    CodeChanged,
    ContentChanged,
    FieldChanged,
    InputAssumed,
    InputChanged,
    NoLongerAccepted,
    OtherLength,
    Reason,
)
from planner.situation import Situation
from planner.structure import plainly_equal, with_defaults
from state.canonical import Plain
from state.record import InputRecord, Record
from state.values import frozen

_WEIGHT = list(Effect)


@frozen
class Differences:
    """What differs, by what it forces."""

    light: tuple[FieldChanged | InputAssumed | InputChanged, ...]
    length: tuple[FieldChanged | OtherLength, ...]
    forcing: tuple[Reason, ...]
    possible: tuple[Reason, ...]
    """Inputs whose digest is not known yet."""

    @property
    def all(self) -> tuple[Reason, ...]:
        """The heaviest first."""
        return (*self.forcing, *self.length, *self.possible, *self.light)


def compare(situation: Situation, record: Record) -> Differences:
    """All that differs between what should be and the record, each with its reason."""
    desired = situation.desired
    fields = tuple(_field_changes(desired, record))
    found = tuple(_input_changes(situation, record))
    asked: list[Reason] = [AskedFor()] if desired.generation != record.generation else []
    made = _content_changes(desired, record)
    if desired.code != record.code:
        made.append(CodeChanged(record.code, desired.code))
    refused = _no_longer_accepted(desired, record) if record.splices else []
    if not (fields or found or asked or made or refused):  # nearly always, so that nothing else need be looked at
        return _NOTHING
    changed = tuple(one for one in found if isinstance(one, InputChanged))
    inputs = tuple(one for one in changed if _decides(situation, record, one.field))
    beside = tuple(one for one in changed if one not in inputs)
    assumed = tuple(one for one in found if isinstance(one, InputAssumed))
    if not (asked or made or refused or inputs):
        fields = tuple(_as_meant(one, situation, record) for one in fields)
    rebuilding = (one for one in fields if one.effect is Effect.REBUILD)
    forcing = (*asked, *rebuilding, *made, *(one for one in inputs if one.certain), *refused)
    possible = tuple(one for one in inputs if not one.certain)
    length = tuple(one for one in fields if one.effect is Effect.LENGTH)
    return Differences(
        light=(*(one for one in fields if one.effect not in (Effect.REBUILD, Effect.LENGTH)), *assumed, *beside),
        length=length if forcing or possible or not length else (*length, *_other_length(situation, record)),
        forcing=forcing,
        possible=possible,
    )


_NOTHING = Differences((), (), (), ())


def _other_length(situation: Situation, record: Record) -> Iterator[OtherLength]:
    """How many steps the run had, and is to have; its inputs are those that it was made from."""
    schedule = situation.kind.schedule
    if schedule is not None:
        runs = (schedule(one, situation.input_records) for one in (record.settings, situation.desired.settings))
        before, after = (one.total_steps for one in runs)
        if before != after:
            yield OtherLength(before, after)


def _no_longer_accepted(desired: Desired, record: Record) -> list[Reason]:
    from planner.resume import accepts_splices

    return [] if accepts_splices(desired.settings) else [NoLongerAccepted(record.splices[-1].step)]


def _as_meant(changed: FieldChanged, situation: Situation, record: Record) -> FieldChanged:
    """A field that forces something though its other value means the same as before, as the note that it is."""
    desired = situation.desired
    alike = declared(desired.specification, changed.field).alike
    if alike is None or changed.effect not in IDENTITY:
        return changed
    recorded = with_defaults(record.settings, desired.specification)
    why = alike(Made(recorded, record.facts, situation.input_records), desired.settings)
    return evolve(changed, effect=Effect.METADATA, why=why) if why else changed


def _decides(situation: Situation, record: Record, field: str) -> bool:
    """Whether an input is part of what the result is, or was when it was made."""
    effects = (input_effect(situation.desired.specification, field, *one) for one in _both(situation.desired, record))
    return Effect.REBUILD in effects


def _field_changes(desired: Desired, record: Record) -> Iterator[FieldChanged]:
    if not plainly_equal(record.settings, desired.settings):
        recorded = with_defaults(record.settings, desired.specification)
        differing = _differing(recorded, desired.settings)
        yield from _changed_fields(desired, record, differing, recorded)
    if desired.protected != record.protected:
        yield FieldChanged(f"{LIFECYCLE}.protect", record.protected, desired.protected, Effect.METADATA, WHY)


def _changed_fields(
    desired: Desired, record: Record, names: Sequence[str], recorded: Mapping[str, Plain]
) -> Iterator[FieldChanged]:
    """The fields of some names that differ, tables by their fields; one that is new, or gone, is a single field.

    They come as they are declared, where those stand first that others follow from.
    """
    for name in names:
        values = recorded.get(name), desired.settings.get(name)
        if _is_table_against_none(*values):
            yield _changed_table(desired, record, name, values)
            continue
        before, after = (flatten({name: one}) for one in values)
        paths = sorted(before.keys() | after.keys())
        for path in (one for one in paths if not same(before.get(one), after.get(one))):
            # An empty table that has values on the other side is told by these.
            if not any(one.startswith(f"{path}.") for one in paths):
                effect, why = _consequence(desired, record, path)
                yield FieldChanged(path, before.get(path), after.get(path), effect, why)


def _is_table_against_none(one: Plain, other: Plain) -> bool:
    return (one is None and isinstance(other, Mapping)) or (other is None and isinstance(one, Mapping))


def _changed_table(desired: Desired, record: Record, name: str, values: tuple[Plain, Plain]) -> FieldChanged:
    """A table that is new, or gone: it does what the heaviest of its fields does."""
    before, after = (_as_declared(desired.specification, name, one) for one in values)
    inside = flatten({name: before if after is None else after})
    found = [_consequence(desired, record, path) for path in (name, *inside)]
    effect, why = max(found, key=lambda one: _WEIGHT.index(one[0]))  # the table's own reason, if that is as heavy
    return FieldChanged(name, before, after, effect, why)


def _as_declared(specification: type, name: str, table: Plain) -> Plain:
    """A table's values in the order of its fields, those that matter most first; state has them by the alphabet."""
    inner = table_class(fields(specification)[name]) if name in fields(specification) else None
    if not isinstance(table, Mapping) or inner is None:
        return table
    return {one: table[one] for one in (*(field for field in fields(inner) if field in table), *table)}


def _consequence(desired: Desired, record: Record, path: str) -> tuple[Effect, str]:
    """What the change of a field forces, and why."""
    effects = (effect_of(desired.specification, path, *one) for one in _both(desired, record))
    return max(effects, key=_WEIGHT.index), declared(desired.specification, path).why


def _both(desired: Desired, record: Record) -> tuple[tuple[Mapping[str, Plain], Mapping[str, Plain]], ...]:
    """Settings and facts as they were and as they are.

    What decided then and does not any more, such as early stopping that was taken out, still did decide.
    """
    return (record.settings, record.facts), (desired.settings, desired.facts)


def _differing(recorded: Mapping[str, Plain], wanted: Mapping[str, Plain]) -> list[str]:
    """The names whose values differ."""
    changed = [name for name, after in wanted.items() if not same(recorded.get(name), after)]
    return changed + sorted(name for name in recorded if name not in wanted and recorded[name] is not None)


def _content_changes(desired: Desired, record: Record) -> list[Reason]:
    if desired.content == record.content:
        return []
    names = sorted(record.content.keys() | desired.content.keys())
    pairs = ((name, record.content.get(name, ""), desired.content.get(name, "")) for name in names)
    return [ContentChanged(name, before, after) for name, before, after in pairs if before != after]


def _input_changes(situation: Situation, record: Record) -> Iterator[InputChanged | InputAssumed]:
    """Inputs are compared by field, position and digest, so that a rename changes nothing."""
    for field in sorted(record.inputs.keys() | situation.inputs.keys()) if record.inputs or situation.inputs else ():
        before = record.inputs.get(field, ())
        after = situation.inputs.get(field, ())
        for position, given in enumerate(after):
            recorded = before[position] if position < len(before) else None
            causes = situation.causes.get(given.source.address, ())
            same = recorded is not None and _same_source(recorded, given.source.address, given.source.part)
            if recorded is not None and same and is_unknown(recorded):
                yield InputAssumed(field, given.source.address)
            elif given.digest is None or recorded is None or recorded.digest != given.digest:
                naming = ("", "") if same else _naming(given, recorded, before, after)
                certain = given.digest is not None or not same
                yield InputChanged(field, given.source.address, certain, causes, *naming)
        for recorded in _taken_out(before, after):
            yield InputChanged(field, recorded.address, certain=True, because=(), naming="removed")


def _naming(
    given: Given, recorded: InputRecord | None, before: Sequence[InputRecord], after: Sequence[Given]
) -> tuple[str, str]:
    """What the recipe did to the name of an input, and which other one stood in its place."""
    if any(_same_source(one, given.source.address, given.source.part) for one in before):
        return "reordered", ""
    if recorded is None or len(before) != len(after):
        return "added", ""
    return "replaced", recorded.address


def _taken_out(before: Sequence[InputRecord], after: Sequence[Given]) -> Sequence[InputRecord]:
    """As many inputs as there are fewer, those first that have no place any more."""
    missing = max(0, len(before) - len(after))
    now = {(one.source.address, one.source.part) for one in after}
    return sorted(before, key=lambda one: (one.address, one.part) in now)[:missing]


def is_unknown(recorded: InputRecord) -> bool:
    """Whether a result was imported before anybody could tell what this input of it was."""
    return not recorded.digest and not recorded.verified


def _same_source(recorded: InputRecord, address: str, part: str) -> bool:
    return (recorded.address, recorded.part) == (address, part)
