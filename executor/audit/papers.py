"""The papers of a result, as bytes that may leave the house: which there are, and under which names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from executor.audit import bill_of_materials, model_card, provenance_statement
from executor.audit.model_card import NO_LICENCE
from executor.audit.subject import AuditedFile
from state.files import digest_file
from state.plain import as_bytes
from state.record import State
from state.secrets import without_secrets

CARD = "model-card"
FILES = {"cyclonedx": "bom.cdx.json", "provenance": "provenance.intoto.json", CARD: "README.md"}
"""The forms of papers, and the file that each is written to."""


def paper(
    form: str,
    address: str,
    state: State,
    files: Sequence[AuditedFile],
    tool_version: str,
    licence: Mapping[str, str] = NO_LICENCE,
) -> bytes:
    """One paper of a finished resource; `files` are those of its artifact, or () where it is not here.

    `licence` are the hub's fields that name it, which only the model card has.
    """
    if form == CARD:
        text = model_card.make(address, state, files, tool_version, licence)
    else:
        make = bill_of_materials.make if form == "cyclonedx" else provenance_statement.make
        text = json.dumps(make(address, state, files, tool_version), indent=2, ensure_ascii=False) + "\n"
    return as_bytes(without_secrets(text))


def audited(folder: Path, path: str, xxh3: str = "") -> AuditedFile:
    """A file below a folder with both digests; the xxh3-128 is not computed again where it is known."""
    whole = folder / path
    return AuditedFile(path, whole.stat().st_size, sha256(whole), xxh3 or digest_file(whole))


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
