"""What a resource should be, with everything resolved, and the identity that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from attrs import field

from planner.effects import Effect, declared, input_effect
from planner.kind import Source
from state.canonical import Plain, digest, encode
from state.plain import SCALARS
from state.record import Splice
from state.values import frozen


@frozen
class Desired:
    """One resource, resolved and probed: all that a plan needs to know of it."""

    address: str
    kind: str
    settings: Mapping[str, Plain]
    content: Mapping[str, str]
    inputs: Mapping[str, tuple[Source, ...]]
    code: int
    specification: type = field(eq=False)
    builds: bool = True
    known: Mapping[str, str] = field(factory=dict)
    facts: Mapping[str, Plain] = field(factory=dict)
    notes: Mapping[str, Plain] = field(factory=dict)
    generation: int = 0
    """Raised by one when it is asked to be made anew though nothing has changed."""
    protected: bool = False
    assumed: bool = False
    """Whether it could not be read on this machine, and is taken to be as state has it."""
    imported: str = ""
    """The folder in which it lies if it was made elsewhere, as the recipe names it."""


@frozen
class Given:
    """One input as far as it is known: its digest, or None while it still has to be made."""

    source: Source
    digest: str | None


Inputs: TypeAlias = Mapping[str, tuple[Given, ...]]


def flatten(settings: Mapping[str, Plain], prefix: str = "") -> dict[str, Plain]:
    """Nested tables as dotted paths; an empty table stays a value of its own."""
    flat: dict[str, Plain] = {}
    for name, value in settings.items():
        # A dot within a name must not look like a table.
        path = prefix + name.replace("\\", "\\\\").replace(".", "\\.")
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{path}.")
        else:
            flat[path] = value
    return flat


def same(one: Plain, other: Plain) -> bool:
    """Whether two values are one to an identity: `1`, `1.0` and `true` are three, however deep they stand."""
    if type(one) in SCALARS or type(other) in SCALARS:
        return type(one) is type(other) and one == other
    if not one and not other:
        return type(one) is type(other) or isinstance(one, Mapping) is isinstance(other, Mapping)
    return encode(one) == encode(other)


def effect_of(specification: type, path: str, settings: Mapping[str, Plain], facts: Mapping[str, Plain]) -> Effect:
    """What a change of the field forces, given the other settings, and what is known of the resource beside them."""
    rule = declared(specification, path).effect
    return rule if isinstance(rule, Effect) else rule(settings, facts)


IDENTITY = (Effect.REBUILD, Effect.LENGTH)


def action_key(desired: Desired, inputs: Mapping[str, tuple[str, ...]], splices: tuple[Splice, ...] = ()) -> str:
    """The digest of everything that decides what is produced: never an address, a path or a time.

    `inputs` are the output digests of the inputs by field name. What was spliced from two runs has a key of its own, so
    that nobody takes it for what the recipe describes.
    """
    identity = {
        path: value
        for path, value in flatten(desired.settings).items()
        if effect_of(desired.specification, path, desired.settings, desired.facts) in IDENTITY
    }
    made_of = (input_effect(desired.specification, name, desired.settings, desired.facts) for name in inputs)
    decisive = [name for name, effect in zip(inputs, made_of, strict=True) if effect in IDENTITY]
    # The first generation has no number, so that keys are what they were before there were generations.
    generation: dict[str, Plain] = {"generation": desired.generation} if desired.generation else {}
    spliced: dict[str, Plain] = {"splices": [[one.step, one.checkpoint] for one in splices]} if splices else {}
    return digest(
        {
            "kind": desired.kind,
            "code": desired.code,
            "settings": identity,
            "content": dict(desired.content),
            "inputs": {name: list(digests) for name, digests in inputs.items() if name in decisive},
            **generation,
            **spliced,
        }
    )
