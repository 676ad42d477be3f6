"""Secrets in a recipe: a recipe is in git, and its settings are in state and in plans, so it must hold none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from state.diagnostic import Diagnostic, Place
from state.secrets import looks_secret

HINT = "Remove it, and revoke it if it was ever pushed. Libraries read credentials from the environment."


def secrets_in(document: object, file: str, where: Mapping[str, tuple[int, int]]) -> Iterator[Diagnostic]:
    """A problem for each text in a document that looks like a secret; the secret itself is not repeated."""
    for path in _secret_paths(document, ""):
        known = path
        while known and known not in where:
            known = known.rpartition(".")[0]
        place = Place(file, *where.get(known, (1, 1)))
        yield Diagnostic("Secret in the recipe", f"{path} looks like a password or a token.", HINT, place)


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
