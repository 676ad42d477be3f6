"""Where a recipe's state and artifacts lie: whether they can be reached and read, and who is writing."""

from __future__ import annotations

from collections.abc import Iterator

from executor.doctor.finding import Finding, Verdict
from state.backend import Backend
from state.diagnostic import ProblemError
from state.journal import Journal
from state.lock import is_dead, read_owner
from state.record import State
from state.shared_store import SharedStore
from state.store import Store

AREA = "state"


def of_problem(area: str, name: str, error: ProblemError) -> Finding:
    """What is wrong, in the words of its diagnostics."""
    first, *others = error.diagnostics
    more = f" (and {len(others)} more)" if others else ""
    return Finding(area, name, f"{first.detail}{more}", Verdict.PROBLEM, first.hint)


def state(store: Store) -> Iterator[Finding]:
    """Whether the state can be read, and whether a run was cut off."""
    try:
        found = store.load()
        yield Finding(AREA, "state", _said(found, store))
        entries = Journal(store.backend).read(found)
    except ProblemError as error:
        yield of_problem(AREA, "state", error)
        return
    if entries:
        addresses = ", ".join(dict.fromkeys(entry.address for entry in entries))
        yield Finding(AREA, "journal", f"{addresses} in progress, or cut off; `tune plan` says what is left")


def _said(found: State, store: Store) -> str:
    if not found.serial:
        return f"nothing applied yet ({store.file})"
    count = len(found.records)
    return f"serial {found.serial}, {count} resource{'' if count == 1 else 's'} ({store.file})"


def lock(backend: Backend) -> Iterator[Finding]:
    """Who may write now."""
    try:
        owner = read_owner(backend)
    except ProblemError as error:
        yield of_problem(AREA, "lock", error)
        return
    if owner is None:
        yield Finding(AREA, "lock", "free")
    elif is_dead(owner):
        yield Finding(AREA, "lock", f"left behind by {owner}; the next apply takes it over")
    else:
        hint = "Wait, or use `--lock-timeout`; `tune state unlock` takes away a lock that hangs."
        yield Finding(AREA, "lock", f"held by {owner}", Verdict.WARNING, hint)


def artifacts(shared: SharedStore) -> Iterator[Finding]:
    """Whether shared artifacts can be reached."""
    where = shared.backend.where
    try:
        yield Finding(AREA, "artifacts", f"{len(shared.keys())} shared in {where}")
    except ProblemError as error:
        yield of_problem(AREA, "artifacts", error)
