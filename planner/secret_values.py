"""Secrets in a recipe: a recipe is in git, and its settings are in state and in plans, so it must hold none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from planner.written import Written
from state.diagnostic import Diagnostic
from state.secrets import looks_secret, may_look_secret

HINT = "Remove it, and revoke it if it was ever pushed. Libraries read credentials from the environment."


def secrets_in(document: object, written: Written) -> Iterator[Diagnostic]:
    """A problem for each text in (a part of) a recipe that looks like a secret; the secret itself is not repeated."""
    # Asked of all texts at once, and of each only where the answer is yes, which it nearly never is.
    if not may_look_secret("\n".join(_texts(document))):
        return
    for path in _secret_paths(document, ""):
        detail = f"{path} looks like a password or a token."
        yield Diagnostic("Secret in the recipe", detail, HINT, written.place(path))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | Sequence):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one)


def _secret_paths(value: object, path: str) -> Iterator[str]:
    if isinstance(value, str):
        if looks_secret(value):
            yield path
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _secret_paths(one, f"{path}.{name}" if path else str(name))
    elif isinstance(value, Sequence):
        for one in value:
            yield from _secret_paths(one, path)
