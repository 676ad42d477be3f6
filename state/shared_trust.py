"""What may come from a shared store: nothing that leaves its folder, nothing that is unpickled, nothing absurd.

Whoever can write to a store can write anything there, with digests that match: a manifest is read as a stranger's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from state import artifacts
from state.artifacts import MANIFEST, FileEntry, Manifest
from state.backend import Backend
from state.diagnostic import Place, ProblemError, problem

MANIFEST_LIMIT = 64 << 20
"""Bytes; a manifest of a hundred thousand files stays below it."""
PICKLES = frozenset({".bin", ".ckpt", ".distcp", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
"""Suffixes under which the libraries that we call would unpickle a file."""
PICKLED_METADATA = ".metadata"
"""torch.distributed.checkpoint unpickles a file of this name."""
TRAINER_STATES = re.compile(r"(optimizer|scheduler|scaler)\.pt|rng_state(_\d+)?\.pth")
"""What a checkpoint needs and transformers.Trainer reads with `weights_only=True`: as tensors, never as objects."""
DIGEST = re.compile(r"[0-9a-f]{32}")


def read_manifest(backend: Backend, name: str) -> Manifest | None:
    """A manifest in a store, None if there is none; raises ProblemError, naming it, for one that cannot be trusted."""
    size = backend.size(name)
    if size is not None and size > MANIFEST_LIMIT:
        raise refused(backend, name, f"it has {size} bytes")
    stored = backend.get(name)
    if stored is None:
        return None
    manifest = artifacts.parse(stored.content, f"{backend.where}/{name}")
    why = _flaw(manifest.files)
    if why:
        raise refused(backend, name, why)
    return manifest


def pickled(manifest: Manifest, *, checkpoint: bool) -> str | None:
    """The first file that somebody might unpickle; of a checkpoint, what the trainer reads safely does not count."""
    for entry in manifest.files:
        path = PurePosixPath(entry.path)
        unsafe = path.suffix.lower() in PICKLES or path.name == PICKLED_METADATA
        if unsafe and not (checkpoint and TRAINER_STATES.fullmatch(entry.path)):
            return entry.path
    return None


def is_plain_path(path: str) -> bool:
    """Whether a path is written in the one way that leads to a file below the folder that it is joined to."""
    pure = PurePosixPath(path)
    inside = bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts
    return inside and str(pure) == path and path.isprintable()


def refused(backend: Backend, name: str, why: str) -> ProblemError:
    """The problem of a manifest that is well-formed and not to be followed."""
    hint = "Nothing was taken from it. Find out who wrote it; once it is removed, what it describes is made again."
    return problem("Manifest refused", f"It is not followed: {why}.", hint, Place(f"{backend.where}/{name}"))


def _flaw(files: Iterable[FileEntry]) -> str:
    """What is wrong with the files that a manifest names; "" for nothing."""
    seen: set[str] = set()
    folders: set[str] = set()
    for entry in files:
        if not is_plain_path(entry.path):
            return f"it names `{entry.path!a}`, which is no plain path"
        if entry.path in seen:
            return f"it names `{entry.path}` twice"
        if entry.path.split("/")[0] == MANIFEST:
            return f"it names `{entry.path}`, where the manifest itself belongs"
        if entry.size < 0 or not DIGEST.fullmatch(entry.digest):
            return f"size or digest of `{entry.path}` is impossible"
        seen.add(entry.path)
        folders.update(str(parent) for parent in PurePosixPath(entry.path).parents)
    both = seen & folders
    return f"`{min(both)}` is a file and a folder" if both else ""
