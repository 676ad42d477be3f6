"""What happened to a step, as the record that state keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve

from executor.applying.provenance import Origin
from executor.workers.task import Outcome
from planner.desired import Desired
from planner.kind import Kind
from planner.plan import Step
from state.artifacts import Manifest
from state.canonical import Plain
from state.clock import now, timestamp
from state.record import InputRecord, Measured, Provenance, Record, Status
from state.values import frozen

MOST_EARLIER = 20
"""Measurements that a record keeps of those before it."""


@frozen
class Artifact:
    """A complete artifact: its folder below `.tune/`, and its manifest."""

    folder: str
    manifest: Manifest


@frozen
class Recorder:
    """Makes the records of one step."""

    kind: Kind
    desired: Desired
    step: Step
    """As evaluated while applying: every input's digest is known."""
    key: str
    """Its action key."""
    origin: Origin
    previous: Record | None = None
    """What the state had at this address before."""

    def begun(self, continued: Record | None) -> Record:
        """What state must say if nothing more is ever heard of the step, which may continue an earlier one."""
        resume = self.step.resume_from
        reached = continued.checkpoints if continued is not None else ()
        started = Provenance(
            started=timestamp(now()),
            host=self.origin.host,
            user=self.origin.user,
            plan=self.origin.plan,
            recipe=self.origin.recipe,
        )
        return Record(
            kind=self.kind.name,
            settings=self.desired.settings,
            content=self.desired.content,
            inputs=self._inputs(),
            code=self.desired.code,
            action_key=self.key,
            status=Status.INTERRUPTED,
            checkpoints=tuple(one for one in reached if resume is not None and one.step <= resume.step),
            facts=self.desired.facts,
            provenance=started,
            generation=self.desired.generation,
            protected=self.desired.protected,
            splices=self.step.splices,
            earlier=self._earlier(),
        )

    def finished(self, begun: Record, outcome: Outcome, artifact: Artifact | None, started: datetime) -> Record:
        """The record of what was made; `artifact` is None where nothing was written."""
        return evolve(
            begun,
            **self._verdict(outcome.metrics, begun.earlier),
            output_digest=outcome.output_digest,
            parts={**self.desired.known, **outcome.parts},
            artifact=artifact.folder if artifact else "",
            files=artifact.manifest.digests if artifact else {},
            metrics=outcome.metrics,
            facts={**begun.facts, **outcome.facts},
            provenance=self.origin.provenance(started, outcome),
        )

    def found(self) -> Record:
        """The record of what is only recorded, such as data: what the probe saw is all there is."""
        known = self.desired.known
        return evolve(
            self.begun(None),
            status=Status.READY,
            output_digest=known.get("", self.key),
            parts={part: digest for part, digest in known.items() if part},
            provenance=self.origin.provenance(now(), None),
        )

    def refreshed(self, kept: Record) -> Record:
        """What exists already, under the settings, inputs and key that the recipe asks for now.

        What nobody had verified still is not: its digest is known from now on, on the word of whoever imported it.
        """
        return evolve(
            kept,
            settings=self.desired.settings,
            inputs={name: _as_verified_as(kept.inputs.get(name, ()), group) for name, group in self._inputs().items()},
            code=self.desired.code,
            action_key=self.key,
            generation=self.desired.generation,
            protected=self.desired.protected,
            **self._verdict(kept.metrics, kept.earlier),
        )

    def _verdict(self, metrics: Mapping[str, Plain], earlier: Sequence[Measured]) -> dict[str, Any]:
        """Status and error: a result that its gate refuses counts as failed."""
        failures = self.kind.judge(self.desired.settings, metrics, earlier)
        return {"status": Status.FAILED if failures else Status.READY, "error": "; ".join(failures)}

    def _earlier(self) -> tuple[Measured, ...]:
        """What was measured at this address before, with the previous record's own metrics as the newest."""
        before = self.previous
        if before is None or not self.kind.compares:
            return ()
        if not before.output_digest:
            return before.earlier
        newest = Measured(before.provenance.finished, before.output_digest, before.status, before.metrics)
        return (*before.earlier, newest)[-MOST_EARLIER:]

    def _inputs(self) -> Mapping[str, tuple[InputRecord, ...]]:
        return {
            name: tuple(InputRecord(one.source.address, one.source.part, one.digest or "") for one in group)
            for name, group in self.step.inputs.items()
        }


def _as_verified_as(before: Sequence[InputRecord], group: Sequence[InputRecord]) -> tuple[InputRecord, ...]:
    """The inputs of a field, each position as doubtful as it was."""
    doubtful = {position for position, one in enumerate(before) if not one.verified}
    return tuple(evolve(one, verified=position not in doubtful) for position, one in enumerate(group))
