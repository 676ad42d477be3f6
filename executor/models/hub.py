"""Models and datasets on the Hugging Face hub: a name and a commit, downloaded once into the hub's own cache."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from state.diagnostic import Diagnostic, ProblemError, problem
from state.wording import stopped

_ID = r"[A-Za-z0-9][\w.-]*/[\w.-]+"


def is_id(source: str) -> bool:
    """Whether a source can be a hub id: `organisation/name`."""
    return re.fullmatch(_ID, source) is not None


_CARD = "README.md"

MODEL, DATASET = "model", "dataset"
"""What a repository can hold, as the hub calls it."""


def resolve(repository: str, revision: str, holds: str = MODEL) -> str | Diagnostic:
    """The commit that a branch or tag points to now, or why it cannot be known."""
    hint = f'Pin it: `revision = "<commit>"` in the recipe needs no network; or check that `{repository}` exists.'
    try:
        from huggingface_hub import HfApi
    except ImportError:
        detail = f"`{repository}` is no folder here, and asking the hub for {revision} needs huggingface_hub."
        return Diagnostic("Unresolved revision", detail, hint)
    try:
        commit = HfApi().repo_info(repository, revision=revision, repo_type=holds, timeout=20).sha
    except _refusals() as error:
        reason = told(error)
        detail = f"`{repository}` is no folder here, and the hub did not say what {revision} is: {reason}"
        return Diagnostic("Unresolved revision", detail, hint)
    return commit or Diagnostic("Unresolved revision", f"The hub names no commit for {repository}.", hint)


def told(error: BaseException) -> str:
    """What the hub or the way to it had to say, without the number that systems give it."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return "access is granted by its owners, to accounts that ask for it; HF_TOKEN must be of one that has it."
    if isinstance(error, RepositoryNotFoundError):
        return "it has no such repository, or shows it only to those whose HF_TOKEN may read it."
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision."
    return stopped(re.sub(r"\[Errno -?\d+\] ", "", str(error).strip().partition("\n")[0]))


def download(repository: str, commit: str) -> Path:
    """Fetch a repository at a commit, without what training never reads; the folder of its files."""
    from huggingface_hub import snapshot_download

    ignored = ["*.bin", "*.pth", "*.pt", "*.msgpack", "*.h5", "*.onnx", "*.gguf", "original/*"]
    return Path(snapshot_download(repository, revision=commit, ignore_patterns=ignored))


def cached_commit(repository: str, revision: str) -> str:
    """The commit of a dataset that a branch or tag pointed to when it was downloaded; "" if it never was."""
    try:
        return snapshot(repository, revision, DATASET).name
    except (ImportError, ProblemError):
        return ""


def fetch_dataset(repository: str, commit: str, choose: Callable[[Path, Sequence[str]], Sequence[str]]) -> Path:
    """Download the files of a dataset that are chosen (card, all names) at a commit; the folder of those that are here.

    Where the hub must not be asked (HF_HUB_OFFLINE), it is what was downloaded before. Raises ProblemError.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import OfflineModeIsEnabled

    def download(patterns: Sequence[str]) -> Path:
        return Path(snapshot_download(repository, repo_type=DATASET, revision=commit, allow_patterns=list(patterns)))

    from glob import escape

    try:
        names = HfApi().list_repo_files(repository, revision=commit, repo_type=DATASET)
        wanted = choose(download([_CARD]) / _CARD, names)
        return download([_CARD, *(escape(name) for name in wanted)])
    except OfflineModeIsEnabled:
        return snapshot(repository, commit, DATASET)
    except _refusals() as error:
        reason = told(error)
        raise problem("Unreachable hub", f"{repository} at {commit} cannot be downloaded: {reason}") from None


def _refusals() -> tuple[type[Exception], ...]:
    """What the hub's client raises where it gets no answer, or one that it does not want."""
    from huggingface_hub.errors import HfHubHTTPError

    # Its base is the error of whatever HTTP library the release is built on; a failed connection is one of these.
    return (*HfHubHTTPError.__bases__, OSError, ValueError)


def snapshot(repository: str, commit: str, holds: str = MODEL) -> Path:
    """The folder of a repository that was downloaded before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, repo_type=holds, revision=commit, local_files_only=True))
    except LocalEntryNotFoundError:
        detail = f"{repository} at {commit} is not in this machine's hub cache."
        hint = "Apply on the machine that downloaded it, or remove its record with the cache to fetch it again."
        summary = "Model not here" if holds == MODEL else "Dataset not here"
        raise problem(summary, detail, hint) from None
