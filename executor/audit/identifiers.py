"""Names that the rest of the world understands: package URLs, times, and URIs of our own where there are none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

from executor.audit.disclosure import public_text
from executor.audit.subject import Material
from state.canonical import Plain

HOME = "https://pypi.org/project/tuneform/"
DISTRIBUTION = "tuneform"
COMMIT = "commit"
"""Under which name records keep the commit of what came from the hub, beside the digests of files."""
_GIT_DIGEST = re.compile(r"[0-9a-f]{40}")

WITHOUT_FILES = (
    "The files were not at hand when this was written, so that no SHA-256 of them is given. What state has instead are "
    "xxh3-128 digests: they show that files are the same unless somebody forges them on purpose."
)
"""What every document says that was written without the artifact."""


def package(name: str, version: str) -> str:
    """The package URL of a distribution on PyPI, or of Python itself (https://github.com/package-url/purl-spec)."""
    if name == "python":
        return f"pkg:generic/python@{quote(version, safe='')}"
    return f"pkg:pypi/{quote(name.lower().replace('_', '-'), safe='')}@{quote(version, safe='')}"


def hub_commit(material: Material) -> str:
    """The commit of what came from the Hugging Face hub, or "" for what did not."""
    found = material.record.content.get(COMMIT, "")
    return found if _GIT_DIGEST.fullmatch(found) else ""


def content(material: Material) -> Iterator[tuple[str, str]]:
    """What was read from outside the recipe, by public name, and its digest; a commit is none."""
    read = sorted(material.record.content.items())
    return ((public_text(name), digest) for name, digest in read if name != COMMIT or not hub_commit(material))


def hub_id(material: Material) -> str:
    """The name on the Hugging Face hub, `organisation/name`, or "" for what did not come from there."""
    return str(material.record.settings["source"]) if hub_commit(material) else ""


def hub_package(material: Material) -> str:
    """The package URL of a model from the hub at its commit, or "" (the same specification, type huggingface)."""
    name, commit = "" if material.record.artifact else hub_id(material), hub_commit(material)
    return f"pkg:huggingface/{quote(name)}@{commit}" if name and material.is_model else ""


def utc(timestamp: str) -> str:
    """A time of a record as RFC 3339 with `Z`, or "" where none was recorded."""
    if not timestamp:
        return ""
    return datetime.fromisoformat(timestamp).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def without_empty(fields: dict[str, Plain]) -> dict[str, Plain]:
    """The fields that say something: what is unknown is left out, never empty."""
    return {name: value for name, value in fields.items() if value not in ("", [], {}, (), None)}
