"""Byte-level byte-pair encoding, pre-token by pre-token, many times faster than the tokenizers library on whole texts.

GPT-2, Llama 3, Qwen and their like cut a text at its added tokens and by one regular expression into pre-tokens, and
encode each for itself (https://huggingface.co/docs/tokenizers/pipeline). Text repeats its words, so nearly every
pre-token has been seen before, and its ids are found in a dictionary. What is new is asked of the tokenizer's own
model: only the cutting is done anew here, and that is proved. A tokenizer of another structure, or one for which a
tricky text comes out differently, gets no encoder; a character that is cut differently sends its text back.
"""

from __future__ import annotations

import json
import re
import unicodedata
import warnings
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from attrs import evolve, field

from executor.tokens.ascii_pattern import for_ascii
from executor.tokens.batch_encoder import BatchEncoder
from executor.tokens.pre_tokens import GPT2, Rules, rules_for
from executor.tokens.tricky_texts import around, tricky_texts
from state.values import frozen

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_KEPT = 500_000
"""Pre-tokens that are remembered; far more than the words of any language."""


@frozen
class PairTraits:
    """What an encoder is made from, beside the tokenizer's own model."""

    pattern: str
    """The regular expression by which the tokenizer cuts."""
    normalizes: bool
    added: Mapping[str, int]
    """The ids of added tokens."""
    widths: array[int]
    """The number of bytes that each token stands for."""


@frozen
class BytePairs:
    """An encoder for one tokenizer; what it gives are the tokenizer's own ids, or None where that is not certain."""

    traits: PairTraits
    ids_of_piece: Callable[[str], bytes]
    cut_ascii: Callable[[str], list[str]]
    cut: Callable[[str], list[str]]
    split_added: Callable[[str], list[str]]
    """Cuts a text at added tokens, which stand at the odd places."""
    added: Mapping[str, bytes]
    cut_by_library: Callable[[str], list[str]]
    batches: BatchEncoder | None = None
    """The same for many texts at once, where the expression is one whose rules are known."""
    rules: Rules | None = None
    """Those."""
    checked: dict[str, bool] = field(factory=dict)
    """Characters beyond ASCII, and whether they are cut as the library cuts them."""
    new: dict[str, bool] = field(factory=dict)
    """Those that were checked since somebody asked for these."""

    @property
    def widths(self) -> array[int]:
        """The number of bytes that each token stands for."""
        return self.traits.widths

    def encode_all(self, texts: Sequence[str]) -> list[bytes | None]:
        """As `encode`, of many texts."""
        if self.batches is None:
            return list(map(self.encode, texts))
        taken = [self.batches.takes(text) and (text.isascii() or self._certain(text)) for text in texts]
        encoded = iter(self.batches.encode([text for text, take in zip(texts, taken, strict=True) if take]))
        return [next(encoded) if take else None for take in taken]

    def shifted(self, _: str, edges: list[int]) -> list[int]:
        """Places in a text, in bytes, as places in what is encoded: the same."""
        return edges

    def encode(self, text: str) -> bytes | None:
        """The ids of a text as packed 32-bit integers, no special tokens added; None if the library must do it."""
        if not (text.isascii() or self._certain(text)):
            return None
        parts = self.split_added(text)
        texts, added = map(self._piece, parts[::2]), map(self.added.__getitem__, parts[1::2])
        return b"".join(chain.from_iterable(zip_longest(texts, added, fillvalue=b"")))

    def _piece(self, piece: str) -> bytes:
        cut = self.cut_ascii if piece.isascii() else self.cut
        return b"".join(map(self.ids_of_piece, cut(piece)))

    def _certain(self, text: str) -> bool:
        if self.traits.normalizes and not unicodedata.is_normalized("NFC", text):
            return False
        return all(map(self._agrees, set(text)))

    def _agrees(self, character: str) -> bool:
        """Whether a character is cut as by the library; the expressions tell characters apart by their class only."""
        known = self.checked.get(character)
        if known is None:
            probe = around(character)
            # What Python does not know yet, it can neither classify nor call normalized.
            known = unicodedata.category(character) != "Cn" and self._cuts(probe, character)
            self.checked[character] = self.new[character] = known
        return known

    def met(self) -> Mapping[str, bool]:
        """The characters that were checked since this was last asked, and whether they are cut as by the library."""
        found = dict(self.new)
        self.new.clear()
        return found

    def learn(self, checked: Mapping[str, bool]) -> None:
        """Know characters that were checked before, or by another process."""
        self.checked.update(checked)
        if self.rules is not None:
            self.rules.learn(checked)

    def _cuts(self, probe: str, character: str) -> bool:
        """Whether a text with a character that is new here is cut as by the library, in both ways."""
        expected = self.cut_by_library(probe)
        if self.batches is not None and self.rules is not None:
            self.rules.learn(character)
            if self.batches.cut(probe) != expected:
                return False
        return self.cut(probe) == expected


class _Pieces(dict[str, bytes]):
    """Pre-tokens and their packed ids; those not met before are asked of the tokenizer's model."""

    def __init__(self, load: Callable[[], Tokenizer]) -> None:
        @cache
        def ways() -> tuple[Callable[[str], list[Any]], Callable[[str], list[Any]]]:
            from tokenizers.pre_tokenizers import ByteLevel

            spell = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str
            return spell, load().model.tokenize

        self._ways = ways
        super().__init__()

    def __missing__(self, piece: str) -> bytes:
        if len(self) >= _KEPT:
            self.clear()
        spell, tokenize = self._ways()
        self[piece] = ids = array("i", [token.id for token in tokenize(spell(piece)[0][0])]).tobytes()
        return ids


def byte_pairs(tokenizer: Tokenizer) -> BytePairs | None:
    """An encoder that is proved to give this tokenizer's ids; None if there is none, or a library for it is missing."""
    if any(find_spec(library) is None for library in ("regex", "numpy")):
        return None
    specification = json.loads(tokenizer.to_str())
    pattern = _pattern(specification)
    if pattern is None or not _plain(specification) or not _whole_alphabet(specification):
        return None
    made = _compiled(tokenizer, specification, pattern)
    if made is None:
        return None
    texts = tricky_texts()
    expected = [array("i", one.ids).tobytes() for one in tokenizer.encode_batch(texts, add_special_tokens=False)]
    ways = (way for way in (batching(made), made) if way is not None)
    return next((way for way in ways if agree(way.encode_all(texts), expected)), None)


def agree(found: Iterable[bytes | None], expected: Iterable[bytes]) -> bool:
    """Whether ids are those of the tokenizer, or left to it."""
    return all(ids in (None, right) for ids, right in zip(found, expected, strict=True))


def batching(made: BytePairs) -> BytePairs | None:
    """The encoder that encodes many texts at once; None if there are no rules for that."""
    rules = rules_for(made.traits.pattern)
    if rules is None:
        return None
    batches = BatchEncoder.of(rules, made.ids_of_piece, made.split_added, made.added)
    return evolve(made, batches=batches, rules=rules, checked={}, new={})


def _pattern(specification: Mapping[str, Any]) -> str | None:
    """The one regular expression by which a tokenizer cuts before it goes to bytes; None if it does otherwise."""
    steps = specification["pre_tokenizer"] or {}
    match steps.get("pretokenizers", [steps]):
        case [{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]:
            return GPT2
        case [
            {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            return pattern
    return None


def _plain(specification: Mapping[str, Any]) -> bool:
    """Whether nothing but pattern and merges decides: no dropout or affixes, added tokens found as they are written."""
    model, normalizer = specification["model"], specification["normalizer"]
    return bool(
        model["type"] == "BPE"
        and not any(model.get(name) for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
        and not model.get("byte_fallback")
        and (normalizer is None or normalizer == {"type": "NFC"})
        and adds_plainly(specification)
    )


def adds_plainly(specification: Mapping[str, Any]) -> bool:
    """Whether added tokens are found as they are written, all in the same step, and no offsets are changed later."""
    added = specification["added_tokens"]
    trims = '"trim_offsets": true' in json.dumps(specification["post_processor"])
    flags = (one[name] for one in added for name in ("single_word", "lstrip", "rstrip"))
    return not any(flags) and len({one["normalized"] for one in added}) <= 1 and not trims


def splitter(added: Iterable[str]) -> Callable[[str], list[str]]:
    """Cuts texts at added tokens, the longest where several begin, which then stand at the odd places."""
    longest_first = sorted(added, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})").split


def packed(added: Mapping[str, int]) -> dict[str, bytes]:
    """The packed ids of added tokens."""
    return {content: array("i", [number]).tobytes() for content, number in added.items()}


def _whole_alphabet(specification: Mapping[str, Any]) -> bool:
    from tokenizers.pre_tokenizers import ByteLevel

    return set(ByteLevel.alphabet()) <= set(specification["model"]["vocab"])


def _compiled(tokenizer: Tokenizer, specification: Mapping[str, Any], pattern: str) -> BytePairs | None:
    import regex  # type: ignore[import-untyped]  # it has no types

    try:
        with warnings.catch_warnings(action="error", category=FutureWarning):  # of what will be read differently
            general, ascii_only = regex.compile(pattern), re.compile(for_ascii(pattern))
    except (regex.error, re.error, FutureWarning):
        return None
    if general.groups or ascii_only.groups:
        return None
    added = {one["content"]: one["id"] for one in specification["added_tokens"]}
    widths = _widths(specification["model"]["vocab"], added)
    traits = PairTraits(pattern, specification["normalizer"] is not None, added, widths)
    return assembled(lambda: tokenizer, traits, ascii_only.findall, general.findall)


def assembled(
    load: Callable[[], Tokenizer],
    traits: PairTraits,
    cut_ascii: Callable[[str], list[str]],
    cut: Callable[[str], list[str]],
) -> BytePairs:
    """An encoder that nobody has proved yet; the tokenizer is only loaded for what was not met before."""

    def cut_by_library(text: str) -> list[str]:
        return [text[start:end] for _, (start, end) in load().pre_tokenizer.pre_tokenize_str(text)]

    return BytePairs(
        traits=traits,
        ids_of_piece=_Pieces(load).__getitem__,
        cut_ascii=cut_ascii,
        cut=cut,
        split_added=splitter(traits.added),
        added=packed(traits.added),
        cut_by_library=cut_by_library,
    )


def _widths(vocabulary: Mapping[str, int], added: Mapping[str, int]) -> array[int]:
    """Bytes of each token by its id; the vocabulary writes each byte as one character."""
    widths = array("i", [0]) * (1 + max((*vocabulary.values(), *added.values())))
    for token, number in vocabulary.items():
        widths[number] = len(token)
    for content, number in added.items():
        widths[number] = len(content.encode())
    return widths
