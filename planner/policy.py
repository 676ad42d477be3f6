"""`[policy]` and `[hardware.NAME]`: limits that a plan must keep, and the prices that one of them needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from attrs import field

from planner.desired import Desired
from planner.diff import WORKS
from planner.effects import Effect, setting
from planner.kind import Resources
from planner.limits import positive
from planner.plan import Plan, Step
from state.diagnostic import NOWHERE, Diagnostic, Place, Severity
from state.record import Record
from state.values import frozen

POLICY, HARDWARE = "policy", "hardware"
WHY = "it limits what is done, not what is made"
HOUR = 3600.0
WORDS = r"[a-z0-9]+"


@frozen
class Policy:
    """The fields of `[policy]`; what is left out is not limited."""

    max_gpu_hours: float | None = setting(None, effect=Effect.METADATA, why=WHY, validator=positive)
    """Of all steps of a plan together, as long as they took when they were last done."""
    max_cost: float | None = setting(None, effect=Effect.METADATA, why=WHY, validator=positive)
    """The same at the price of the `[hardware.NAME]` that each step was last done on, in its currency."""
    allow_dirty_git: bool = setting(default=True, effect=Effect.METADATA, why=WHY)
    """False: `tune apply` refuses a recipe whose folder differs from its commit, or has none."""
    require_pinned_revisions: bool = setting(default=False, effect=Effect.METADATA, why=WHY)
    """True: what comes from a hub must name the commit, not a branch or tag that can move."""


@frozen
class Hardware:
    """The fields of `[hardware.NAME]`: never identity."""

    hourly_price: float | None = setting(None, effect=Effect.METADATA, why=WHY, validator=positive)
    """Of one GPU for one hour."""
    gpus: int | None = setting(None, effect=Effect.METADATA, why=WHY, validator=positive)
    """How many a host has: no run may ask for more processes on one."""
    gpu: str = setting("", effect=Effect.METADATA, why=WHY)
    """Words of the GPU's own name, such as "H100-80GB": the price is for what was done on such a one."""

    def is_of(self, device: str) -> bool:
        """Whether a device, as a record names it, is such a GPU."""
        wanted, there = (set(re.findall(WORDS, one.lower())) for one in (self.gpu, device))
        return bool(wanted) and wanted <= there


@frozen
class Limits:
    """The policy of a recipe with all that it takes to check it."""

    policy: Policy = field(factory=Policy)
    hardware: Mapping[str, Hardware] = field(factory=dict)
    places: Mapping[str, Place] = field(factory=dict, eq=False)
    """Where each field of the policy was written."""

    def place(self, name: str) -> Place:
        """Where a field of the policy was written."""
        return self.places.get(name, NOWHERE)

    def price(self, device: str) -> float:
        """What an hour of a device costs at most: of hardware that is such a one, or of any where none is."""
        prices = [(one.hourly_price, one.is_of(device)) for one in self.hardware.values() if one.hourly_price]
        fitting = [price for price, is_such in prices if is_such]
        return max(fitting or [price for price, _ in prices], default=0.0)


def unpriced(limits: Limits) -> Iterator[Diagnostic]:
    """A limit on cost in a recipe whose hardware has no price."""
    if limits.policy.max_cost is not None and not any(one.hourly_price for one in limits.hardware.values()):
        detail = "`policy.max_cost` needs the price of a GPU for an hour, and the recipe names none."
        hint = "Write `[hardware.NAME]` with `hourly_price = 2.5`."
        yield Diagnostic("Missing price", detail, hint, limits.place("max_cost"))


def exceeded(
    plan: Plan, desired: Sequence[Desired], resources: Resources, limits: Limits, records: Mapping[str, Record]
) -> list[Diagnostic]:
    """An error for each limit that a plan exceeds, and a warning where that cannot be told."""
    found = list(_unpinned(plan, desired, resources)) if limits.policy.require_pinned_revisions else []
    found += _crowded(plan, resources, limits)
    if limits.policy.max_gpu_hours is None and limits.policy.max_cost is None:
        return found
    working = [step for step in plan.steps if step.action in WORKS and step.inputs]
    hours = {step.address: _gpu_hours(step) for step in working if "gpu_seconds" in step.estimate}
    prices = {address: limits.price(records[address].provenance.hardware) for address in hours}
    found += _over(limits, hours, prices)
    unknown = [step.address for step in working if step.address not in hours]
    if unknown:
        name = "max_gpu_hours" if limits.policy.max_gpu_hours is not None else "max_cost"
        detail = f"Nobody knows yet how long these take, so they are not counted: {', '.join(unknown)}."
        place = limits.place(name)
        found.append(Diagnostic("Policy not checked", detail, place=place, severity=Severity.WARNING))
    return found


def _over(limits: Limits, hours: Mapping[str, float], prices: Mapping[str, float]) -> Iterator[Diagnostic]:
    most, cost = limits.policy.max_gpu_hours, limits.policy.max_cost
    total = sum(hours.values())
    hint = "Raise the limit, or do less at once with `--target` or `--exclude`."
    if most is not None and total > most:
        parts = ", ".join(f"{address} {one:.3g}" for address, one in hours.items() if one)
        detail = f"The plan takes about {total:.3g} GPU-hours, and {most:g} are allowed: {parts}."
        yield Diagnostic("Policy", detail, hint, limits.place("max_gpu_hours"))
    whole = sum(one * prices[address] for address, one in hours.items())
    if cost is not None and whole > cost:
        parts = ", ".join(f"{address} {one:.3g} at {prices[address]:g}" for address, one in hours.items() if one)
        detail = f"The plan costs about {whole:.4g}, and {cost:g} is allowed. GPU-hours: {parts}."
        yield Diagnostic("Policy", detail, hint, limits.place("max_cost"))


def _crowded(plan: Plan, resources: Resources, limits: Limits) -> Iterator[Diagnostic]:
    """Runs that ask for more processes on a host than any has GPUs; nothing where the recipe does not say of all."""
    known = [one.gpus for one in limits.hardware.values() if one.gpus is not None]
    if not known or len(known) < len(limits.hardware):
        return
    most = max(known)
    for step in (one for one in plan.steps if one.action in WORKS):
        asked = resources[step.address].kind.processes(step.settings)
        if asked > most:
            detail = (
                f"{step.address} asks for {asked} processes on a host, and no hardware of the recipe has so many GPUs"
            )
            hint = "Lower `distributed.processes`, or correct `gpus` of `[hardware.NAME]`."
            place = resources[step.address].place("distributed.processes")
            yield Diagnostic("More processes than GPUs", f"{detail}: {most} at most.", hint, place)


def _gpu_hours(step: Step) -> float:
    return cast("float", step.estimate["gpu_seconds"]) / HOUR


def _unpinned(plan: Plan, desired: Sequence[Desired], resources: Resources) -> Iterator[Diagnostic]:
    """What was resolved to a commit that the recipe does not name."""
    planned = {step.address for step in plan.steps}
    for one in desired:
        commit = one.content.get("commit")
        if commit and one.address in planned and one.settings.get("revision") != commit:
            detail = f"{one.address} comes from a hub without a commit: what is there can change."
            hint = f'Write `revision = "{commit}"`, which is what it is now.'
            yield Diagnostic("Policy", detail, hint, resources[one.address].place("revision"))
