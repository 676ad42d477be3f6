"""Regular expressions of tokenizers for texts of ASCII alone, in the syntax of Python's own, faster library."""

from __future__ import annotations

import re
import unicodedata


def for_ascii(pattern: str) -> str:
    r"""A pattern for ASCII texts in Python's own, faster syntax: `\p{L}` and `\s` written out.

    Python's `\s` also matches the separators U+001C to U+001F, which are no white space in Unicode.
    """
    written, in_class = [], False
    for part in re.findall(r"\\p\{\w+\}|\\.|.", pattern, re.DOTALL):
        in_class = part == "[" or (in_class and part != "]")
        members = _ascii_members(part)
        alone = f"[{members}]" if members else "(?!)"
        written.append(part if members is None else members if in_class else alone)
    return "".join(written)


def _ascii_members(part: str) -> str | None:
    r"""What a `\p{L}`, `\s` or `\S` matches, written for a class; None for any other part of an expression."""
    white = r"\t-\r "
    if not part.startswith(r"\p{"):
        return {r"\s": white, r"\S": f"^{white}"}.get(part)
    known = (one for one in map(chr, range(128)) if unicodedata.category(one).startswith(part[3:-1]))
    return "".join(map(re.escape, known))
