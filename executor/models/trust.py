"""Code that comes with a model: run only where the recipe trusts it, and then a part of what the model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from state.diagnostic import problem

if TYPE_CHECKING:
    from executor.workers.task import Input

TRUST = "trust_remote_code"
"""As a setting of a model, and as a fact of all that was made of it, which carries the code along."""


def trusts(inputs: Sequence[Input]) -> bool:
    """Whether the code of the first input, the whole weights, may be run."""
    return bool(inputs[0].settings.get(TRUST) or inputs[0].facts.get(TRUST))


def carried(inputs: Sequence[Input]) -> Mapping[str, bool]:
    """The fact that what is made of these inputs has their code; none where there is no code to run."""
    return {TRUST: True} if trusts(inputs) else {}


def load(kind: str, folder: str | Path, *, trusted: bool, **arguments: Any) -> Any:  # noqa: ANN401  transformers has no types
    """What one of transformers' Auto classes makes of a folder; a problem if that takes code that nobody trusts."""
    import transformers

    auto = getattr(transformers, kind)
    try:
        return auto.from_pretrained(folder, local_files_only=True, trust_remote_code=trusted, **arguments)
    except ValueError as error:
        if trusted or TRUST not in str(error):
            raise
        detail = f"The model in `{folder}` is made of Python code that comes with it, which is not run unasked."
        hint = "Read the code; then set `trust_remote_code = true` of the model, and pin a hub's by its commit."
        raise problem("Untrusted code", detail, hint) from None
