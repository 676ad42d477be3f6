"""What made this? From an address, a digest or any file back to the record, however long ago it was superseded."""

from __future__ import annotations

from collections.abc import Iterator

from state.history import History
from state.record import Record, State
from state.values import frozen

SHORTEST = 6
"""Digits of a digest below which it could mean anything."""


@frozen
class Found:
    """A record that answers."""

    address: str
    record: Record
    serial: int
    """Of the write that recorded it; 0 where it is what the state says now."""
    file: str = ""
    """Path within the artifact of the file that was asked for."""


def by_address(state: State, address: str) -> Found | None:
    """What is at an address now."""
    record = state.records.get(address)
    return Found(address, record, 0) if record is not None else None


def by_digest(state: State, history: History, digest: str) -> tuple[Found, ...]:
    """Every record whose output, action key, checkpoint or file has a digest that starts so; the newest first.

    Looks at what exists first, and reads the history only if nothing of that answers.
    """
    if len(digest) < SHORTEST:
        return ()
    for candidates in (_present(state), _past(state, history)):
        found = {
            (one.address, one.record.action_key): one
            for one in reversed([answer for each in candidates for answer in _answers(each, digest)])
        }
        if found:
            return tuple(reversed(found.values()))
    return ()


def _present(state: State) -> Iterator[Found]:
    yield from (Found(address, record, 0) for address, record in sorted(state.records.items()))
    yield from (Found(one.address, one.record, 0) for _, one in sorted(state.superseded.items()))


def _past(state: State, history: History) -> Iterator[Found]:
    for _, entry in history.newest_first(state):
        for address, record in sorted(entry.records.items()):
            if record is not None:
                yield Found(address, record, entry.serial)


def _answers(found: Found, digest: str) -> Iterator[Found]:
    record = found.record
    digests = [record.output_digest, record.action_key, *(one.digest for one in record.checkpoints)]
    if any(one.startswith(digest) for one in digests):
        yield found
        return
    for path, one in record.files.items():
        if one.startswith(digest):
            yield Found(found.address, record, found.serial, path)
            return
