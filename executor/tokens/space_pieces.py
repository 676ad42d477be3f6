"""Byte-pair encoding of SentencePiece's kind, as of Llama 2, Mistral and Gemma: without pre-tokens, yet in pieces.

Such a tokenizer merges over whole texts. But a merge makes a token of its vocabulary: two characters that stand next to
each other in no token are never joined, so a text can be cut between them. In these vocabularies spaces only ever begin
a token, and line ends stand in none, or in those of line ends alone.
"""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from executor.tokens.batch_encoder import BatchEncoder
from executor.tokens.byte_pairs import adds_plainly, agree, packed, splitter
from executor.tokens.pre_tokens import EDGE, NARROW_EDGE
from executor.tokens.tricky_texts import tricky_texts
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from tokenizers.models import Model

_SPACE = "\u2581"
"""What a space is in the vocabulary."""
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
_PREPEND = {"type": "Prepend", "prepend": _SPACE}
_NO_CUT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
"""Gemma's: there are no spaces left when it comes to it."""
_SPACED = (" ", "a b", "a  b ", "\n a\n\nb", "a<s>b", " a</s> b", "<s>a", "<s> a", "</s></s>", "a \n", "\u4e2d \u6587")
Prefix: TypeAlias = Literal["none", "first", "each"]
"""Where a space is put: nowhere, before a text unless one is there, or before it and behind every added token."""


@frozen
class SpaceRules:
    """Where pieces begin: at spaces that follow something else, and at and behind line ends."""

    cuts_lines: bool

    def begins(self, characters: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
        """Whether a piece begins at each character of some texts with edges between them, as of pre-tokens."""
        import numpy as np

        edge = characters == (NARROW_EDGE[0] if characters.itemsize == 1 else ord(EDGE))
        space, line_end = characters == ord(" "), characters == ord("\n")
        begins = edge | (space & ~_before(space)) | _before(edge)
        if self.cuts_lines:
            begins |= line_end != _before(line_end)
        begins[:1] = True
        return np.asarray(begins, np.bool_)


@frozen
class Prefixing:
    """Cuts texts at added tokens, which stand at the odd places, and puts spaces in."""

    split: Callable[[str], list[str]]
    prefix: Prefix

    def parts(self, text: str) -> list[str]:
        """The parts with their spaces."""
        return [f" {part}" if self._takes(at, part) else part for at, part in enumerate(self.split(text))]

    def starts(self, text: str) -> list[int]:
        """Before which bytes of a text spaces are put."""
        parts = self.split(text)
        ends = accumulate(len(part.encode()) for part in parts)
        placed = zip(parts, chain((0,), ends), strict=False)
        return [start for at, (part, start) in enumerate(placed) if self._takes(at, part)]

    def _takes(self, at: int, part: str) -> bool:
        if self.prefix == "each":
            return at % 2 == 0 and bool(part)
        return self.prefix == "first" and at == 0 and bool(part) and not part.startswith(" ")


@frozen
class SpacePieces:
    """An encoder for one tokenizer; what it gives are the tokenizer's own ids."""

    batches: BatchEncoder
    widths: array[int]
    """The number of bytes that each token stands for; the spaces that are put before texts count, too."""
    prefixing: Prefixing

    def encode_all(self, texts: Sequence[str]) -> list[bytes | None]:
        """The packed ids of texts, no special tokens added; None where the library must find them."""
        taken = [self.batches.takes(text) and _SPACE not in text for text in texts]
        encoded = iter(self.batches.encode([text for text, take in zip(texts, taken, strict=True) if take]))
        return [next(encoded) if take else None for take in taken]

    def shifted(self, text: str, edges: list[int]) -> list[int]:
        """Places in a text, in bytes, as places in what is encoded; a space that is put in belongs to what follows."""
        if self.prefixing.prefix == "none":
            return edges
        starts = self.prefixing.starts(text)
        return [edge + bisect_left(starts, edge) for edge in edges]


def space_pieces(tokenizer: Tokenizer) -> SpacePieces | None:
    """An encoder that is proved to give this tokenizer's ids; None if there is none, or a library for it is missing."""
    specification = json.loads(tokenizer.to_str())
    prefix = _prefix(specification)
    if find_spec("numpy") is None or prefix is None or not _falls_back(specification):
        return None
    if not adds_plainly(specification) or any(one["normalized"] for one in specification["added_tokens"]):
        return None
    vocabulary: Mapping[str, int] = specification["model"]["vocab"]
    said = [token for token in vocabulary if not _BYTE.fullmatch(token)]
    if any(_SPACE in token.lstrip(_SPACE) for token in said):
        return None
    cuts_lines = not any("\n" in token and token.strip("\n") for token in said)
    added = {one["content"]: one["id"] for one in specification["added_tokens"]}
    prefixing = Prefixing(splitter(added), prefix)
    batches = BatchEncoder.of(SpaceRules(cuts_lines), _ids_of(tokenizer.model), prefixing.parts, packed(added))
    made = SpacePieces(batches, _widths(vocabulary, added), prefixing)
    texts = [*tricky_texts(), *_SPACED]
    expected = [array("i", one.ids).tobytes() for one in tokenizer.encode_batch(texts, add_special_tokens=False)]
    return made if agree(made.encode_all(texts), expected) else None


def _before(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is true of the character before each; of none before the first."""
    import numpy as np

    return np.concatenate((np.zeros(1, np.bool_), found[:-1]))


def _prefix(specification: Mapping[str, Any]) -> Prefix | None:
    """Where a tokenizer puts a space, if it replaces spaces and does nothing else to a text; else None."""
    match specification["normalizer"], specification["pre_tokenizer"]:
        case {"type": "Sequence", "normalizers": [one, other]}, None if (one, other) == (_PREPEND, _REPLACE):
            return "each"
        case normalizer, None if normalizer == _REPLACE:
            return "none"
        case normalizer, cut if (normalizer, cut) == (_REPLACE, _NO_CUT):
            return "none"
        case None, {"type": "Metaspace", "replacement": "\u2581", "split": False, "prepend_scheme": "first"}:
            return "first"
        case None, {"type": "Metaspace", "replacement": "\u2581", "split": False, "prepend_scheme": "never"}:
            return "none"
    return None


def _falls_back(specification: Mapping[str, Any]) -> bool:
    """Whether its model merges pairs until none is left, and has a token for each byte."""
    model = specification["model"]
    refused = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")
    return bool(
        model["type"] == "BPE"
        and model.get("byte_fallback")
        and not any(model.get(name) for name in refused)
        and all(f"<0x{byte:02X}>" in model["vocab"] for byte in range(256))
    )


def _ids_of(model: Model) -> Callable[[str], bytes]:
    def ids_of(piece: str) -> bytes:
        return array("i", [token.id for token in model.tokenize(piece.replace(" ", _SPACE))]).tobytes()

    return ids_of


def _widths(vocabulary: Mapping[str, int], added: Mapping[str, int]) -> array[int]:
    """Bytes of each token by its id."""
    widths = array("i", [0]) * (1 + max((*vocabulary.values(), *added.values())))
    for token, number in vocabulary.items():
        widths[number] = 1 if _BYTE.fullmatch(token) else len(token.replace(_SPACE, " ").encode())
    for content, number in added.items():
        widths[number] = len(content.encode())
    return widths
