"""What a shared store need not hold any more: all that nobody relies on, found without asking anybody."""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor

from state.artifacts import MANIFEST
from state.backend import Backend, Listed
from state.shared_store import ARTIFACTS, CHECKPOINTS, OBJECTS, USERS, SharedStore, artifact_name, object_name
from state.shared_transfer import THREADS
from state.shared_trust import read_manifest

GRACE_SECONDS = 24 * 3600.0
"""A file that no manifest names may be part of an upload that is in progress; no upload takes longer."""


def collect(
    store: SharedStore, keep: AbstractSet[str], older_than_seconds: float = GRACE_SECONDS, *, dry_run: bool
) -> tuple[Listed, ...]:
    """Remove what our state and all others do without, and say what went, or with `dry_run` what would.

    Goes: that our state relies on artifacts whose keys are not kept, and its checkpoints of such keys; manifests of
    artifacts on which no state relies; then files that no manifest names and that are older than the grace period.
    Others may publish meanwhile. They look again at what they did not upload after they have written their manifest;
    we look again at manifests after we have removed files. So one of both notices, and no manifest lacks its files.
    """
    backend = store.backend
    objects = tuple(backend.list(OBJECTS))
    released, unused, kept = _artifacts(store, keep)
    checkpoints = tuple(one for one in backend.list(CHECKPOINTS) if _is_dropped(one, store.lineage, keep))
    named = _named(backend, kept)
    latest = time.time() - older_than_seconds
    unnamed = tuple(one for one in objects if one.name not in named and one.modified <= latest)
    if not dry_run:
        _delete(backend, (*released, *unused))
        store.remove_checkpoints(one.name for one in checkpoints)
        _delete(backend, unnamed)
        removed = {one.name for one in unnamed}
        for key in store.keys() - kept:
            if not removed.isdisjoint(_named(backend, {key})):
                backend.delete(artifact_name(key))
    return (*released, *unused, *checkpoints, *unnamed)


def _artifacts(store: SharedStore, keep: AbstractSet[str]) -> tuple[tuple[Listed, ...], tuple[Listed, ...], set[str]]:
    """Our marks on keys that are not kept, the manifests that then have no user, and the keys of those that stay."""
    released: list[Listed] = []
    manifests: dict[str, Listed] = {}
    used = set(keep)
    for one in store.backend.list(ARTIFACTS):
        _, key, *rest = one.name.split("/")
        if rest == [MANIFEST]:
            manifests[key] = one
        elif rest == [USERS, store.lineage] and key not in keep:
            released.append(one)
        elif rest[:1] == [USERS]:
            used.add(key)
    unused = tuple(one for key, one in manifests.items() if key not in used)
    return tuple(released), unused, manifests.keys() & used


def _is_dropped(one: Listed, lineage: str, keep: AbstractSet[str]) -> bool:
    parts = one.name.split("/")
    return parts[2:3] == [lineage] and parts[1] not in keep


def _named(backend: Backend, keys: AbstractSet[str]) -> set[str]:
    """The names of all files of some artifacts; a damaged manifest is a problem, since nobody knows what it named."""
    with ThreadPoolExecutor(THREADS) as pool:
        manifests = tuple(pool.map(lambda key: read_manifest(backend, artifact_name(key)), keys))
    return {object_name(entry) for manifest in manifests if manifest is not None for entry in manifest.files}


def _delete(backend: Backend, going: Iterable[Listed]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        tuple(pool.map(backend.delete, [one.name for one in going]))
