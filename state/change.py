"""Changes to a state as values: a record replaced, forgotten, remembered; nothing here touches the disk."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from state.record import Record, State, Superseded


def put(state: State, address: str, record: Record) -> State:
    """The state with this record at this address; what it replaces is remembered if anything of it is left on disk."""
    before = state.records.get(address)
    superseded: dict[str, Superseded | None] = {record.action_key: None}
    # Both may name one folder, where a person said that what lies in it is good for either.
    if before is not None and before.action_key != record.action_key and worth_keeping(before):
        superseded[before.action_key] = Superseded(address, before)
    return evolve(
        state,
        records=state.records.changed({address: record}),
        superseded=state.superseded.changed(superseded),
    )


def forget(state: State, address: str) -> State:
    """The state without this address; its artifact stays on disk until it is collected."""
    before = state.records[address]
    kept = {before.action_key: Superseded(address, before)} if worth_keeping(before) else {}
    return evolve(state, records=state.records.changed({address: None}), superseded=state.superseded.changed(kept))


def rename(state: State, names: Mapping[str, str]) -> State:
    """The state with records under other addresses; `names` maps each old address to its new one.

    What was made from them knows them by their new addresses too.
    """
    changed: dict[str, Record | None] = dict.fromkeys(names)
    for address, record in state.records.items():
        inputs = {
            field: tuple(evolve(one, address=names.get(one.address, one.address)) for one in group)
            for field, group in record.inputs.items()
        }
        if address in names or inputs != record.inputs:
            changed[names.get(address, address)] = evolve(record, inputs=inputs)
    return evolve(state, records=state.records.changed(changed))


def worth_keeping(record: Record) -> bool:
    """Whether something lies on disk that a later plan could use again."""
    return bool(record.artifact or record.checkpoints)
