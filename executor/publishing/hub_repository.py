"""A model repository on the Hugging Face hub that is written to; its token comes from the environment or the login."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from state.diagnostic import problem
from state.secrets import without_secrets
from state.values import frozen


@frozen
class HubRepository:
    """A repository, `organisation/name`, that may not exist yet."""

    id: str
    private: bool
    """Whether it is created private; one that exists stays as it is."""

    def files(self) -> tuple[str, ...]:
        """The paths of its files; none if there is no such repository."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RepositoryNotFoundError

        with self._explained():
            try:
                return tuple(HfApi().list_repo_files(self.id))
            except RepositoryNotFoundError:
                return ()

    def read(self, path: str) -> bytes:
        """The newest content of one of its files."""
        from huggingface_hub import hf_hub_download

        with self._explained():
            return Path(hf_hub_download(self.id, path)).read_bytes()

    def commit(self, folder: Path, gone: Sequence[str]) -> None:
        """Make it hold the files of a folder, without those that are gone; all in one commit."""
        from huggingface_hub import HfApi

        with self._explained():
            HfApi().create_repo(self.id, private=self.private, exist_ok=True)
            HfApi().upload_folder(
                repo_id=self.id, folder_path=folder, commit_message="Export by tune", delete_patterns=[*gone] or None
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What the hub or the way to it refuses, in words."""
        try:
            # The library re-exports the root of its HTTP client's errors: which client that is differs by version.
            from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]
        except ImportError:
            detail = "Exports to the hub need the library huggingface_hub, which is not installed."
            raise problem("Missing library", detail, 'Run `pip install "tuneform[train]"`.') from None
        try:
            yield
        except (HTTPError, OfflineModeIsEnabled, OSError) as error:
            reason = without_secrets(str(error).strip().partition("\n")[0])
            hint = "Check the name and the network; HF_TOKEN must hold a token that may write to it."
            raise problem("Hub refused", f"`hub:{self.id}`: {reason}", hint) from None
