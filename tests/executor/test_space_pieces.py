"""The encoder for vocabularies of SentencePiece's kind gives the library's ids and labels, or leaves texts to it."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.templating.chat_template import Rendered
from executor.tokens.added_tokens import added_tokens
from executor.tokens.encoder import Encoder, encoder
from executor.tokens.space_pieces import SpacePieces, space_pieces

if TYPE_CHECKING:
    from tokenizers import Tokenizer

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("numpy")

CORPUS = ["Hello there, how are you today? I'm fine: 12345.", "naïve été 日本語 and so  on   and on"] * 5
LINES = ["def f(x):\n    return x\n\n\nend\n"] * 5
SPECIAL = ("<unk>", "<s>", "</s>", "[INST]", "<end_of_turn>")
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
LLAMA = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, REPLACE]}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
SPLIT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}


def tokenizer_of(corpus: list[str], normalizer: Any, pre_tokenizer: Any, **model: Any) -> Tokenizer:
    """Spaces begin tokens, bytes have tokens of their own; `model` changes tokenizer.json."""
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("▁*[^▁\n]+|▁+|\n+"), "isolated")
    trained.train_from_iterator(corpus, tokenizers.trainers.BpeTrainer(vocab_size=220, show_progress=False))
    specification = json.loads(trained.to_str())
    names = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *specification["model"]["vocab"]]
    specification["model"] |= {
        "vocab": {name: number for number, name in enumerate(names)},
        "byte_fallback": True,
        "fuse_unk": True,
        "unk_token": "<unk>",
        **model,
    }
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    specification["added_tokens"] = [
        {"id": at, "content": one, "special": True, **flags} for at, one in enumerate(SPECIAL)
    ]
    specification |= {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer}
    made: Tokenizer = tokenizers.Tokenizer.from_str(json.dumps(specification))
    return made


TOKENIZERS: Mapping[str, Tokenizer] = {
    "llama2": tokenizer_of(CORPUS, LLAMA, None),
    "mistral": tokenizer_of(CORPUS, None, METASPACE),
    "gemma": tokenizer_of([*CORPUS, *LINES], REPLACE, SPLIT),
    "never": tokenizer_of([*CORPUS, *LINES], None, METASPACE | {"prepend_scheme": "never"}),
}
ENCODERS: Mapping[str, Encoder] = {name: encoder(partial(TOKENIZERS.__getitem__, name)) for name in TOKENIZERS}
AWKWARD = [
    *SPECIAL,
    "<0x0A>",
    "▁",
    " ",
    "  ",
    "\n",
    "\n\n",
    " \n",
    "\r\n",
    "\t",
    "\0",
    "é",
    "e\u0301",
    "日本",
    "🙂",
    "ÿ",
    "Hello",
    "on",
]
LEFT_TO_THE_LIBRARY = {"▁", "\0", "\U0010ffff"}
"""What stands for something else in the arrays of the encoder."""
texts = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=5), max_size=10).map("".join)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_there_is_one_for_each_kind(name: str) -> None:
    direct = ENCODERS[name].direct
    assert isinstance(direct, SpacePieces)
    assert direct.encode_all([f"a{one}b" for one in sorted(LEFT_TO_THE_LIBRARY)]) == [None] * 3


@pytest.mark.parametrize("name", TOKENIZERS)
@given(several=st.lists(texts, max_size=4))
def test_ids_are_those_of_the_library(name: str, several: list[str]) -> None:
    direct = ENCODERS[name].direct
    assert direct is not None
    for text, ids in zip(several, direct.encode_all(several), strict=True):
        expected = array("i", TOKENIZERS[name].encode(text, add_special_tokens=False).ids).tobytes()
        assert ids == (None if LEFT_TO_THE_LIBRARY & set(text) else expected)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(pieces=st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
def test_labels_are_those_of_the_library(name: str, pieces: list[tuple[str, str]]) -> None:
    quick, slow = ENCODERS[name], Encoder(lambda: TOKENIZERS[name], None, added_tokens(TOKENIZERS[name]))
    spans, text = [], ""
    for before, trained in pieces:
        start = len(text) + len(before)
        text += before + trained
        spans.append((start, len(text)))
    rendered = Rendered(text, tuple(span for span in spans if span[0] < span[1]))
    assert repr(quick.conversations([rendered])) == repr(slow.conversations([rendered]))


REFUSED: Mapping[str, Tokenizer] = {
    "spaces within tokens": tokenizer_of(["a▁b▁c " * 9], LLAMA, None, vocab={"a": 0, "▁": 1, "a▁": 2}, merges=[]),
    "dropout": tokenizer_of(CORPUS, LLAMA, None, dropout=0.1),
    "no byte fallback": tokenizer_of(CORPUS, LLAMA, None, byte_fallback=False),
    "whole words first": tokenizer_of(CORPUS, LLAMA, None, ignore_merges=True),
    "another normalizer": tokenizer_of(CORPUS, {"type": "NFKC"}, METASPACE),
    "split at spaces": tokenizer_of(CORPUS, None, METASPACE | {"split": True}),
}


@pytest.mark.parametrize("tokenizer", REFUSED.values(), ids=REFUSED)
def test_others_are_left_to_the_library(tokenizer: Tokenizer) -> None:
    assert space_pieces(tokenizer) is None
