"""One thing that was looked at on a machine, and what is to be said of it."""

from __future__ import annotations

from enum import StrEnum

from state.values import frozen


class Verdict(StrEnum):
    """How bad it is: only a problem keeps an apply from succeeding."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@frozen
class Finding:
    """One thing that was looked at."""

    area: str
    """Under which heading it is told."""
    name: str
    found: str
    verdict: Verdict = Verdict.OK
    hint: str = ""
    """What to do about it; for a known-bad combination, the reason as well."""
