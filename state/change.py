"""Changes to a state as values: a record replaced, forgotten, remembered; nothing here touches the disk."""

from __future__ import annotations

from attrs import evolve

from state.format import history_digest
from state.record import HistoryEntry, Record, State, Superseded


def put(state: State, address: str, record: Record) -> State:
    """The state with this record at this address; what it replaces is remembered if anything of it is left on disk."""
    before = state.records.get(address)
    superseded = {key: kept for key, kept in state.superseded.items() if key != record.action_key}
    if before is not None and before.action_key != record.action_key and worth_keeping(before):
        superseded[before.action_key] = Superseded(address, before)
    return evolve(state, records={**state.records, address: record}, superseded=superseded)


def forget(state: State, address: str) -> State:
    """The state without this address; its artifact stays on disk until it is collected."""
    before = state.records[address]
    records = {key: record for key, record in state.records.items() if key != address}
    kept = {before.action_key: Superseded(address, before)} if worth_keeping(before) else {}
    return evolve(state, records=records, superseded={**state.superseded, **kept})


def worth_keeping(record: Record) -> bool:
    """Whether something lies on disk that a later plan could use again."""
    return bool(record.artifact or record.checkpoints)


def with_history(state: State, when: str, who: str, plan: str, changed: tuple[str, ...]) -> State:
    """The state with one more entry in its chain, for the write that is about to happen."""
    parent = history_digest(state.history[-1]) if state.history else ""
    entry = HistoryEntry(state.serial + 1, when, who, plan, changed, parent)
    return evolve(state, history=(*state.history, entry))
