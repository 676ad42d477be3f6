"""Models on the Hugging Face hub: a name and a commit, downloaded once into the hub's own cache."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import evolve

from state.diagnostic import Diagnostic, Place, problem

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_id(source: str) -> bool:
    """Whether a source can be a hub id: `organisation/name`."""
    return _ID.fullmatch(source) is not None


def resolve(repository: str, revision: str) -> str | Diagnostic:
    """The commit that a branch or tag points to now, or why it cannot be known."""
    hint = f'Pin it: `revision = "<commit>"` in the recipe needs no network; or check that `{repository}` exists.'
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    except ImportError:
        detail = f"`{repository}` is no folder here, and asking the hub for {revision} needs huggingface_hub."
        return Diagnostic("Unresolved revision", detail, hint)
    try:
        commit = HfApi().model_info(repository, revision=revision, timeout=20).sha
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        detail = f"`{repository}` is no folder here, and the hub did not say what {revision} is: {reason}"
        return Diagnostic("Unresolved revision", detail, hint)
    return commit or Diagnostic("Unresolved revision", f"The hub names no commit for {repository}.", hint)


def at(diagnostic: Diagnostic, place: Place) -> Diagnostic:
    """The diagnostic with the place in the recipe that it is about."""
    return evolve(diagnostic, place=place)


def download(repository: str, commit: str) -> Path:
    """Fetch a repository at a commit, without what training never reads; the folder of its files."""
    from huggingface_hub import snapshot_download

    ignored = ["*.bin", "*.pth", "*.pt", "*.msgpack", "*.h5", "*.onnx", "*.gguf", "original/*"]
    return Path(snapshot_download(repository, revision=commit, ignore_patterns=ignored))


def snapshot(repository: str, commit: str) -> Path:
    """The folder of a repository that was downloaded before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=commit, local_files_only=True))
    except LocalEntryNotFoundError:
        detail = f"{repository} at {commit} is not in this machine's hub cache."
        hint = "Apply on the machine that downloaded it, or remove its record with the cache to fetch it again."
        raise problem("Model not here", detail, hint) from None
