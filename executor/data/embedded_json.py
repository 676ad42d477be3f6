"""JSON that lies in a text, as tables keep what their columns have no type for."""

from __future__ import annotations

import json

DECODER = json.JSONDecoder(parse_constant=lambda _: None)
"""NaN and the infinities, which JSON does not have and many files do, are null."""


def from_text(value: object) -> object:
    """Lists and objects that were written as text, which tables and Parquet files often hold; else the value itself."""
    return decoded(value) if isinstance(value, str) and value[:1] in ("[", "{") else value


def decoded(text: str) -> object:
    """What a text means as JSON; a text that is none, or holds half a character that none could encode, itself."""
    try:
        value: object = DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return text
    return value
