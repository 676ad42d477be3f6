"""Where things lie in the folder `.tune/` beside the recipe."""

from __future__ import annotations

import re
from pathlib import Path

from state.values import frozen

IGNORED = (
    "# Written by tune. state.json and its history may be committed; the rest belongs to this machine.\n"
    "*\n!.gitignore\n!state.json\n!history/\n!history/*.json\n"
)


@frozen
class Layout:
    """The paths of one recipe's `.tune/` folder."""

    recipe_folder: Path

    @property
    def root(self) -> Path:
        """The folder `.tune/` itself."""
        return self.recipe_folder / ".tune"

    @property
    def file_digests(self) -> Path:
        """What the stat cache remembers."""
        return self.root / "cache" / "file_digests.json"

    @property
    def tokenizers(self) -> Path:
        """Tokenizers as models change them, for plans, which are made before models are."""
        return self.root / "cache" / "tokenizers"

    def artifact(self, kind: str, name: str, key: str) -> Path:
        """The folder of what a resource of this action key produces."""
        return self.root / "artifacts" / kind / _file_name(name) / key

    def checkpoints(self, kind: str, name: str, key: str) -> Path:
        """The folder of the checkpoints that are written on the way to an artifact."""
        return self.root / "checkpoints" / kind / _file_name(name) / key

    def log(self, address: str, run: str) -> Path:
        """What a step's process and its libraries printed."""
        return self.root / "logs" / f"{_file_name(address)}-{run}.log"

    def relative(self, path: Path) -> str:
        """A path below `.tune/` as state writes it, the same on every machine."""
        return path.relative_to(self.root).as_posix()

    def create(self) -> None:
        """Make the folder, with the file that keeps all but the state out of git."""
        self.root.mkdir(parents=True, exist_ok=True)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            ignore.write_text(IGNORED)


def _file_name(name: str) -> str:
    """A name in characters that no shell and no file system minds: `x[learning_rate=0.0001]` has others.

    Two names may become one; the action key, which follows it, tells them apart.
    """
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", name).strip("-")
