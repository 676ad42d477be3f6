"""Encoders that were proved for a tokenizer, kept in a file beside what they encoded, so that proving is done once.

What is proved holds for a tokenizer, this code and the libraries that it was compared with. The file's place stands for
the tokenizer; it says itself by what it was proved, and is as good as absent where any of that is another now.
"""

from __future__ import annotations

import json
import platform
import re
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from executor.tokens.added_tokens import AddedTokens
from executor.tokens.ascii_pattern import for_ascii
from executor.tokens.byte_pairs import BytePairs, PairTraits, assembled, batching
from executor.workers.software import installed
from state.durable import write_atomically

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_DIGEST_BYTES = 16
_CODE = (
    "added_tokens",
    "ascii_pattern",
    "batch_encoder",
    "byte_pairs",
    "piece_table",
    "pre_tokens",
    "proved_pairs",
    "tricky_texts",
)
"""The modules that encode and prove."""
_LIBRARIES = ("numpy", "regex", "tokenizers", "transformers")


def save(path: Path, pairs: BytePairs, added: AddedTokens) -> None:
    """Keep what was proved of an encoder, and what its tokenizer adds, if that is not what is kept."""
    kept = {
        "by": _by(),
        "pattern": pairs.traits.pattern,
        "normalizes": pairs.traits.normalizes,
        "added": dict(pairs.traits.added),
        "widths": b64encode(pairs.traits.widths.tobytes()).decode(),
        "in_batches": pairs.batches is not None,
        "checked": pairs.checked,
        "before": b64encode(added.before).decode(),
        "after": b64encode(added.after).decode(),
        "special": added.special,
    }
    body = json.dumps(kept).encode()
    content = xxhash.xxh3_128_digest(body) + body
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)


def load(path: Path, tokenizer: Callable[[], Tokenizer]) -> tuple[BytePairs, AddedTokens] | None:
    """The encoder that was proved; None if there is none, it was proved by other means, or the file is damaged.

    The tokenizer is only loaded once there is something that was not met before.
    """
    found = path.read_bytes() if path.is_file() else b""
    content = found[_DIGEST_BYTES:]
    if not content or xxhash.xxh3_128_digest(content) != found[:_DIGEST_BYTES]:
        return None
    kept = json.loads(content)
    if kept["by"] != _by():
        return None
    traits = PairTraits(kept["pattern"], kept["normalizes"], kept["added"], array("i", b64decode(kept["widths"])))
    before, after = (b64decode(kept[name]) for name in ("before", "after"))
    added = AddedTokens(before, after, are_around=True, ids=traits.added, special=tuple(kept["special"]))
    return _restored(tokenizer, traits, in_batches=kept["in_batches"], checked=kept["checked"]), added


def _restored(
    tokenizer: Callable[[], Tokenizer], traits: PairTraits, *, in_batches: bool, checked: Mapping[str, bool]
) -> BytePairs:

    @cache
    def compiled() -> Callable[[str], list[str]]:
        import regex  # type: ignore[import-untyped]  # it has no types

        found: Callable[[str], list[str]] = regex.compile(traits.pattern).findall
        return found

    def general(text: str) -> list[str]:
        return compiled()(text)  # only now: loading the library takes a moment, and it is seldom needed

    ascii_only = re.compile(for_ascii(traits.pattern)).findall
    made = assembled(tokenizer, traits, ascii_only, general)
    made = (batching(made) if in_batches else None) or made
    made.learn(checked)
    return made


@cache
def _by() -> dict[str, str]:
    """The code, Python, whose tables of characters count, and the libraries."""
    code = b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in _CODE)
    return {
        "code": xxhash.xxh3_128_hexdigest(code),
        "python": platform.python_version(),
        **{name: installed(name) for name in _LIBRARIES},
    }
