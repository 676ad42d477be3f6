"""What nobody needs any more below `.tune/`, and its removal: the state first, so that it never names what is gone.

Needed is what the records name that remain: artifacts, checkpoints, and what an unfinished run has left where it would
look for it. The search follows no symbolic link and sees nothing outside `.tune/`: what it does not list stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath

from attrs import evolve, field

from executor.applying import leftovers
from state import artifacts, shared_collection
from state.backend import Listed
from state.diagnostic import problem
from state.layout import Layout
from state.record import Record, State, Superseded
from state.shared_store import SharedStore
from state.values import frozen
from state.writer import Writer


@frozen
class Policy:
    """What a person lets go."""

    keep: int = 1
    """Superseded results that stay for each address, the newest ones."""
    older_than: float = 0.0
    """Seconds that must have passed since something was made."""
    checkpoints: bool = False
    """Also those of finished runs, which then cannot be extended any more."""
    unfinished: bool = False
    """Also runs that never finished and that an edit has left behind."""


@frozen
class Waste:
    """One thing that nothing needs."""

    name: str
    """Path below `.tune/`, or the address of a record of which nothing lies here."""
    why: str
    size: int
    """Bytes that are free once all is gone."""
    is_here: bool = True


@frozen
class Collection:
    """What goes: from the state, and from the disk."""

    forgotten: tuple[str, ...]
    """Action keys of superseded records."""
    emptied: tuple[str, ...]
    """Action keys of finished records whose checkpoints go."""
    waste: tuple[Waste, ...]
    links: tuple[str, ...]
    """Symbolic links that were not followed."""
    shared: tuple[Listed, ...] = field(default=(), eq=False)
    """Objects of the shared store, to which others may add at any time."""

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(one.size for one in self.waste) + sum(one.size for one in self.shared)

    @property
    def is_empty(self) -> bool:
        """Whether everything is needed."""
        return not (self.forgotten or self.emptied or self.waste or self.shared)


def find(state: State, layout: Layout, policy: Policy, shared: SharedStore | None, now: float) -> Collection:
    """What a state and a policy do without; `now` is in seconds since the epoch.

    Sure only while the lock is held: otherwise a run that works at the same time may need some of it.
    """
    _refuse_lost_state(state, layout)
    forgotten = tuple(sorted(_superseded_too_long(state, layout, policy, now)))
    remaining = state.superseded.changed(dict.fromkeys(forgotten))
    records = [*state.records.values(), *(one.record for one in remaining.values())]
    emptied = tuple(sorted(set(_done_with_checkpoints(records, layout, policy, now))))
    after = without(state, forgotten, emptied)
    needed = _needed(after, layout)
    reasons = _reasons(state, forgotten, emptied)
    try:
        found, links = leftovers.search(layout, needed, _runs(after), now)
    except OSError as error:
        raise problem("Cannot look", f"`{error.filename}`: {error.strerror}.", "Run the command again.") from None
    waste = [
        Waste(one.path, reasons.get(one.path, one.why), one.size)
        for one in found
        if one.path in reasons or now - one.modified >= policy.older_than
    ]
    waste += _elsewhere([state.superseded[key] for key in forgotten], layout)
    objects = _unused_objects(after, shared)
    return Collection(forgotten, emptied, tuple(sorted(waste, key=lambda one: one.name)), links, objects)


def without(state: State, forgotten: Iterable[str], emptied: Iterable[str]) -> State:
    """The state that no longer names what a collection removes."""
    keys = set(emptied)
    records = {address: _emptied(one) for address, one in state.records.items() if one.action_key in keys}
    superseded: dict[str, Superseded | None] = {
        key: evolve(one, record=_emptied(one.record))
        for key, one in state.superseded.items()
        if one.record.action_key in keys
    }
    superseded |= dict.fromkeys(forgotten)
    return evolve(state, records=state.records.changed(records), superseded=state.superseded.changed(superseded))


def collect(found: Collection, writer: Writer, layout: Layout, shared: SharedStore | None) -> None:
    """Remove it all while the lock is held; raises ProblemError for what could not be removed.

    Whenever this is killed, the state names nothing that is gone, and another collection finds the rest.
    """
    after = without(writer.state, found.forgotten, found.emptied)
    if found.forgotten or found.emptied:
        counts = {"superseded records": found.forgotten, "checkpoints of finished runs": found.emptied}
        writer.save(after, "; ".join(f"{what} collected: {len(keys)}" for what, keys in counts.items() if keys))
    leftovers.remove([one.name for one in found.waste if one.is_here], layout)
    if shared is not None:
        shared_collection.collect(evolve(shared, lineage=writer.state.lineage), _keys(after), dry_run=False)


def _unused_objects(after: State, shared: SharedStore | None) -> tuple[Listed, ...]:
    if shared is None:
        return ()
    return shared_collection.collect(evolve(shared, lineage=after.lineage), _keys(after), dry_run=True)


def _keys(state: State) -> set[str]:
    return {record.action_key for _, record in _all(state)}


def _emptied(record: Record) -> Record:
    return evolve(record, checkpoints=()) if record.output_digest else record


def _refuse_lost_state(state: State, layout: Layout) -> None:
    """Without a state everything on disk looks unneeded: more likely, the state was lost."""
    if not state.lineage and any((layout.root / name).is_dir() for name in leftovers.TREES):
        detail = "There are artifacts in `.tune/`, and no state that says which of them are needed."
        raise problem("No state", detail, "Restore the state, or remove `.tune/` by hand if nothing of it is needed.")


def _superseded_too_long(state: State, layout: Layout, policy: Policy, now: float) -> Iterator[str]:
    """The keys of superseded records that the policy does not keep, of those whose folders can be removed."""
    by_address: dict[str, list[tuple[float, str]]] = {}
    in_use = {record.artifact for record in state.records.values() if record.artifact}
    for key, one in state.superseded.items():
        if one.record.artifact in in_use or leftovers.leads_away(_folders(one.record), layout):
            continue
        if one.record.output_digest:
            by_address.setdefault(one.address, []).append((_made(one.record), key))
        elif policy.unfinished and now - _made(one.record) >= policy.older_than:
            yield key
    for results in by_address.values():
        beyond = sorted(results, reverse=True)[policy.keep :]
        yield from (key for made, key in beyond if now - made >= policy.older_than)


def _done_with_checkpoints(records: Iterable[Record], layout: Layout, policy: Policy, now: float) -> Iterator[str]:
    """The keys of finished records that have checkpoints, if those are to go."""
    for record in records if policy.checkpoints else ():
        folders = [one.folder for one in record.checkpoints]
        is_done = record.output_digest and now - _made(record) >= policy.older_than
        if is_done and folders and not leftovers.leads_away(folders, layout):
            yield record.action_key


def _made(record: Record) -> float:
    """When a record's work ended, in seconds since the epoch; long ago if nobody knows."""
    told = record.provenance.finished or record.provenance.started
    try:
        when = datetime.fromisoformat(told)
    except ValueError:
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _folders(record: Record) -> list[str]:
    return [one for one in (record.artifact, *(one.folder for one in record.checkpoints)) if one]


def _needed(state: State, layout: Layout) -> frozenset[str]:
    """The folders that a state's records name, or that their unfinished runs would look into."""
    needed = set()
    for address, record in _all(state):
        needed |= set(_folders(record))
        kind, _, name = address.partition(".")
        own = layout.artifact(kind, name, record.action_key)
        if not record.output_digest and (own / artifacts.MANIFEST).exists():
            needed.add(layout.relative(own))
    return frozenset(needed)


def _runs(state: State) -> frozenset[str]:
    """What logs call the runs that the state knows of."""
    return frozenset(record.action_key[:8] for _, record in _all(state))


def _all(state: State) -> Iterator[tuple[str, Record]]:
    yield from state.records.items()
    yield from ((one.address, one.record) for one in state.superseded.values())


def _reasons(state: State, forgotten: Iterable[str], emptied: Iterable[str]) -> Mapping[str, str]:
    """Why folders go that the state still names, and the folders of whole runs with them."""
    reasons: dict[str, str] = {}
    keys = set(emptied)
    for address, record in _all(state):
        if record.action_key in keys:
            _give(reasons, [one.folder for one in record.checkpoints], f"of {address}, which is finished")
    for key in forgotten:
        one = state.superseded[key]
        result = "superseded result" if one.record.output_digest else "run that was never finished and superseded"
        _give(reasons, _folders(one.record), f"of a {result} of {one.address}")
    return reasons


def _give(reasons: dict[str, str], folders: Iterable[str], why: str) -> None:
    for folder in folders:
        reasons[folder] = why
        reasons[str(PurePosixPath(folder).parent)] = f"checkpoints {why}"


def _elsewhere(forgotten: Iterable[Superseded], layout: Layout) -> Iterator[Waste]:
    """Records that go although none of their folders is on this machine."""
    for one in forgotten:
        if not any((layout.root / folder).exists() for folder in _folders(one.record)):
            why = f"a superseded record, {one.record.action_key[:12]}, of which nothing is on this machine"
            yield Waste(one.address, why, 0, is_here=False)
