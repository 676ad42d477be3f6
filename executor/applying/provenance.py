"""Who made something, when, where and from which commit: for audit, never for identity."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

from executor.workers.task import Outcome
from state.clock import now, timestamp
from state.history import Author
from state.host import host_name
from state.owner import user
from state.record import Provenance
from state.values import frozen


@frozen
class Origin:
    """What is the same for all steps of one apply."""

    plan: str
    """Digest of the plan."""
    user: str
    host: str
    git_commit: str
    git_dirty: bool
    recipe: str = ""
    """File name of the recipe."""

    def author(self, command: str) -> Author:
        """Whom the history names."""
        return Author(f"{self.user}@{self.host}", command, self.plan)

    def provenance(self, started: datetime, outcome: Outcome | None) -> Provenance:
        """The provenance of a step that ends now; without an outcome, of one that never finished."""
        finished = now()
        seconds = round((finished - started).total_seconds(), 3)
        return Provenance(
            started=timestamp(started),
            finished=timestamp(finished),
            seconds=seconds,
            gpu_seconds=seconds * outcome.gpus if outcome else 0.0,
            host=self.host,
            user=self.user,
            git_commit=self.git_commit,
            git_dirty=self.git_dirty,
            recipe=self.recipe,
            plan=self.plan,
            hardware=outcome.hardware if outcome else "",
            versions=outcome.versions if outcome else {},
        )


def origin(recipe: Path, plan: str) -> Origin:
    """Where this apply comes from; a recipe outside git has no commit."""
    commit = _git(recipe.parent, "rev-parse", "HEAD")
    # A state in git changes with every apply: it is no part of what a commit says about how something was made.
    dirty = bool(commit and _git(recipe.parent, "status", "--porcelain", "--", ".", ":(exclude).tune"))
    return Origin(plan, user(), host_name(), commit, dirty, recipe.name)


def _git(folder: Path, *arguments: str) -> str:
    try:
        command = ["git", "-C", str(folder), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)  # noqa: S603  fixed command
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
