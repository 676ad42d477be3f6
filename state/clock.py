"""The time, as records and history write it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def timestamp(when: datetime | None = None) -> str:
    """ISO 8601 to the second, in UTC; of now if no time is given."""
    return (when or now()).isoformat(timespec="seconds")
