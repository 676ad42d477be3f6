"""`[state]`: where the state of a recipe and the artifacts that a team shares lie; never part of any identity."""

from __future__ import annotations

from planner.effects import Effect, setting
from state.values import frozen

STATE = "state"
WHY = "it says where things lie, not what they are"


@frozen
class StateTable:
    """The fields of `[state]`."""

    url: str = setting("", effect=Effect.METADATA, why=WHY)
    """Folder or URL (s3://, gs://, az://) of state, lock and history; `.tune/` beside the recipe if left out."""
    artifacts: str = setting("", effect=Effect.METADATA, why=WHY)
    """Folder or URL in which artifacts and checkpoints are shared; below `url` if left out, nowhere without either."""
    endpoint: str = setting("", effect=Effect.METADATA, why=WHY)
    """Address of the server where it is not the cloud's own: MinIO, R2, Hugging Face buckets."""
    region: str = setting("", effect=Effect.METADATA, why=WHY)
    """Region of the bucket, where the environment does not say it."""


def unused(table: StateTable) -> tuple[str, ...]:
    """The settings that are given and mean nothing, because neither place is an object store."""
    if any("://" in place and not place.startswith("file:") for place in (table.url, table.artifacts)):
        return ()
    return tuple(name for name in ("endpoint", "region") if getattr(table, name))
