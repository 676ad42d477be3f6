"""Built-in chat templates: every .jinja file in this folder is one, and its first comments say what it is for.

`families` names the model types (`model_type` in config.json) that were trained with it, `tokens` the control tokens
that it writes and that a tokenizer must thus have. The rendered text is that of the families' published templates,
and `{% generation %}` encloses what an assistant writes.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from state.values import frozen

_SUFFIX = ".jinja"
_NOTE = re.compile(r"\{#- (families|tokens): (.+?) -#\}")


@frozen
class BuiltIn:
    """One template with what its file says of itself."""

    name: str
    text: str
    families: tuple[str, ...]
    """Model types; none where any model may be tuned with it."""
    tokens: tuple[str, ...]


@cache
def built_in() -> dict[str, BuiltIn]:
    """All built-in templates by name."""
    files = sorted(Path(__file__).parent.glob(f"*{_SUFFIX}"))
    return {file.name.removesuffix(_SUFFIX): _read(file) for file in files}


def _read(file: Path) -> BuiltIn:
    text = file.read_text(encoding="utf-8")
    notes = {name: tuple(words.split()) for name, words in _NOTE.findall(text)}
    return BuiltIn(file.name.removesuffix(_SUFFIX), text, notes.get("families", ()), notes.get("tokens", ()))
