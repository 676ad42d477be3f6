"""Secrets: how they look, and what stands in their place in everything that is written or shown."""

from __future__ import annotations

import json
import os
import re
from functools import cache, lru_cache

REMOVED = "(secret removed)"
SHORTEST = 8
"""Values of fewer characters are not taken out: words such as `true` would go with them."""

_NAMES = (
    r"(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|ACCOUNT_?KEY|SAS)(_|$)"
    r"|_KEY(_BASE64)?$"
)
"""Environment variables whose values are secrets; those that say where a secret lies (`_FILE`, `_PATH`) are not."""
_WHERE = r"(_FILE|_PATH|_DIR|_URL|_ID)$"
_MARKS = (
    "hf_",
    "sk-",
    "pk-",
    "rk-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xox",
    "AKIA",
    "ASIA",
    "eyJ",
    "PRIVATE KEY",
    "AccountKey=",
    "://",
    "X-Amz-",
    "X-Goog-",
    "sig=",
    "token=",
    "api_key=",
)
"""One of these is part of every secret that is known by its shape."""
_SHAPES = (
    r"(?<![A-Za-z0-9])(?:"  # a word of its own: `task-...` is no `sk-...`
    r"hf_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|(?:sk|pk|rk)-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}"  # OpenAI, Anthropic and others; never without a digit
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
    r"|xox[abpr]-[A-Za-z0-9-]{10,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"  # JSON web tokens
    r")|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=AccountKey=)[A-Za-z0-9+/]{20,}={0,2}"  # Azure's connection strings
    r"|(?<=://)[^/\s:@\"']*:[^/\s@\"']+(?=@)"  # user:password@host
    r"|(?<=[?&])(?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|sig|token|access_token|api_key)=[^&\s\"']+"
)


def without_secrets(text: str) -> str:
    """A text with every secret taken out: values of this process's environment, and what has the shape of one."""
    for value in _known(tuple(os.environ.items())):
        text = text.replace(value, REMOVED)
    return _shapes().sub(REMOVED, text) if may_look_secret(text) else text


def looks_secret(text: str) -> bool:
    """Whether a text has a part with the shape of a secret."""
    return may_look_secret(text) and _shapes().search(text) is not None


def may_look_secret(text: str) -> bool:
    """False where no secret can be: to look for marks takes less than the expression does, and less than making it."""
    return any(map(text.__contains__, _MARKS))


@cache
def _shapes() -> re.Pattern[str]:
    return re.compile(_SHAPES)


@lru_cache(maxsize=1)
def _known(variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The secret values of an environment, longest first, as they are and as JSON writes them."""
    secret, where = re.compile(_NAMES, re.IGNORECASE), re.compile(_WHERE, re.IGNORECASE)
    values = {
        value for name, value in variables if len(value) >= SHORTEST and secret.search(name) and not where.search(name)
    }
    written = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for value in values for ascii_only in (True, False)}
    return tuple(sorted(values | written, key=len, reverse=True))
