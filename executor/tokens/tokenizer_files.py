"""A tokenizer as files: what identifies it, its special tokens and its chat template, without any library."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from state.canonical import digest
from state.files import FileDigests
from state.values import frozen

CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
VOCABULARY = (
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
FILES = (CONFIG, TEMPLATE, *VOCABULARY)


@frozen
class SpecialTokens:
    """The tokens that a tokenizer's configuration gives a role, as text."""

    by_role: dict[str, str]
    """bos_token, eos_token, pad_token, unk_token and others, where they are set."""

    def __getitem__(self, role: str) -> str:
        """The token of a role; "" where there is none."""
        return self.by_role.get(role, "")


def tokenizer_digest(folder: Path, digests: FileDigests) -> str:
    """The identity of everything that turns text into ids; the template is none of it."""
    config = {key: value for key, value in _config(folder).items() if key != "chat_template"}
    vocabulary = {name: digests.digest(folder / name) for name in VOCABULARY if (folder / name).is_file()}
    return digest({"config": config, "vocabulary": vocabulary})


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer."""
    # `Path.is_file` raises where a name is too long for any file.
    return any(os.path.isfile(folder / name) for name in VOCABULARY)  # noqa: PTH113


def own_template(folder: Path) -> str | None:
    """The chat template that the tokenizer brings along, if it has one."""
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    template = _config(folder).get("chat_template")
    return template if isinstance(template, str) else None


def special_tokens(folder: Path) -> SpecialTokens:
    """The special tokens of a tokenizer's configuration."""
    found = {}
    for role, value in _config(folder).items():
        token = value.get("content") if isinstance(value, dict) else value
        if role.endswith("_token") and isinstance(token, str):
            found[role] = token
    return SpecialTokens(found)


def _config(folder: Path) -> dict[str, Any]:
    try:
        loaded = json.loads((folder / CONFIG).read_bytes())
    except FileNotFoundError:
        return {}
    return loaded if isinstance(loaded, dict) else {}
