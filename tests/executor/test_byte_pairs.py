"""The direct encoder gives the ids of the tokenizers library, for every tokenizer that it takes on and any text."""

from __future__ import annotations

import json
import unicodedata
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.tokens import proved_pairs
from executor.tokens.added_tokens import added_tokens
from executor.tokens.byte_pairs import BytePairs, byte_pairs
from executor.tokens.encoder import Encoder, Met

if TYPE_CHECKING:
    from tokenizers import Tokenizer

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("regex")
pytest.importorskip("numpy")

EXPRESSIONS = {
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt-oss": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_end|>x"]
CORPUS = [
    "Hello there, how are you today? I'm fine: 12345.",
    "def f(x):\n    return x  # naïve été 日本語 🙂\n\n\n",
] * 5


def tokenizer_of(expression: str | None, **changes: Any) -> Tokenizer:
    """As GPT-2 if there is no expression. What is changed is changed in tokenizer.json."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    cut = tokenizers.pre_tokenizers
    to_bytes = cut.ByteLevel(add_prefix_space=False, use_regex=expression is None)
    split = [] if expression is None else [cut.Split(tokenizers.Regex(expression), "isolated")]
    made.pre_tokenizer = cut.Sequence([*split, to_bytes])
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=380, special_tokens=SPECIAL, initial_alphabet=cut.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    specification = json.loads(made.to_str())
    for name, value in changes.items():
        where, _, key = name.partition("__")
        if key:
            specification[where][key] = value
        else:
            specification[where] = value
    loaded: Tokenizer = tokenizers.Tokenizer.from_str(json.dumps(specification))
    return loaded


TOKENIZERS: Mapping[str, Tokenizer] = {
    **{name: tokenizer_of(expression) for name, expression in EXPRESSIONS.items()},
    "gpt2": tokenizer_of(None),
    "normalized": tokenizer_of(EXPRESSIONS["qwen"], normalizer={"type": "NFC"}),
    "whole words first": tokenizer_of(EXPRESSIONS["llama3"], model__ignore_merges=True),
}
ENCODERS: Mapping[str, BytePairs | None] = {name: byte_pairs(one) for name, one in TOKENIZERS.items()}

AWKWARD = [
    "<|im_end|>",
    "<|im_end|>x",
    "<|im_",
    "'s",
    "'LL",
    "'\u017f",
    "\r\n",
    "\n",
    "  ",
    " ",
    "\t",
    "\u00a0",
    "\u3000",
    "\x85",
]
AWKWARD += [
    "e\u0301",
    "\u0301",
    "é",
    "Å",
    "12",
    "½",
    "Ⅷ",
    "٣",
    "🙂",
    "👩‍👩‍👧",
    "日本",
    "ǅ",
    "ʰ",
    "ª",
    "_",
    "--",
    "/",
    "\x00",
    "\x1c",
]
texts = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=5), max_size=12).map("".join)


def same_ids(name: str, text: str) -> bool:
    """Whether a text has the library's ids; those that are left to the library are encoded by it anyway."""
    encoder = ENCODERS[name]
    assert encoder is not None
    expected = array("i", TOKENIZERS[name].encode(text, add_special_tokens=False).ids).tobytes()
    return {encoder.encode(text), *encoder.encode_all([text])} <= {None, expected}


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=texts)
def test_ids_are_those_of_the_library(name: str, text: str) -> None:
    assert same_ids(name, text)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(several=st.lists(texts, max_size=5))
def test_texts_that_are_encoded_together_have_the_ids_of_each(name: str, several: list[str]) -> None:
    encoder = ENCODERS[name]
    assert encoder is not None
    assert (encoder.batches is None) == (name == "gpt-oss")
    found = encoder.encode_all(several)
    assert [ids for ids in found if ids is not None] == [
        encoder.encode(text) for text, ids in zip(several, found, strict=True) if ids is not None
    ]
    assert all(ids is not None or not text.isascii() or "\0" in text for text, ids in zip(several, found, strict=True))


@pytest.mark.parametrize("name", ["qwen", "gpt-oss"])
@pytest.mark.slow
def test_every_character_that_python_knows_is_cut_as_by_the_library(name: str) -> None:
    """In steps, so that it takes no minute; every class and every block of Unicode is among them."""
    encoder = ENCODERS[name]
    assert encoder is not None
    known = (chr(code) for code in range(128, 0x110000) if not 0xD800 <= code < 0xE000)
    assigned = [one for one in known if unicodedata.category(one) not in ("Cn", "Co")]
    left = [one for one in assigned[::37] if None in (encoder.encode(one), *encoder.encode_all([one]))]
    assert left == []


def test_what_is_not_normalized_or_not_known_is_left_to_the_library() -> None:
    normalized, plain = ENCODERS["normalized"], ENCODERS["qwen"]
    assert normalized is not None
    assert plain is not None
    assert normalized.encode("e\u0301") is None
    assert plain.encode("e\u0301") is not None
    assert plain.encode("a\U0003fffd") is None


def test_words_that_were_met_are_remembered_and_forgotten_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.tokens.byte_pairs._KEPT", 3)
    monkeypatch.setattr("executor.tokens.piece_table._MOST", 3)
    monkeypatch.setattr("executor.tokens.piece_table._FIRST_SLOTS", 4)
    encoder = byte_pairs(TOKENIZERS["qwen"])
    assert encoder is not None
    for text in ("one two three four five", "five one two", "one", "one <|im_end|>, and a word of more than 16 bytes"):
        expected = array("i", TOKENIZERS["qwen"].encode(text).ids).tobytes()
        assert [encoder.encode(text), *encoder.encode_all([text])] == [expected, expected]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(several=st.lists(texts.filter(lambda text: "\0" not in text), max_size=5))
@pytest.mark.slow
def test_pieces_that_were_saved_are_not_asked_for_again(tmp_path: Path, several: list[str]) -> None:
    first, second = byte_pairs(TOKENIZERS["qwen"]), byte_pairs(TOKENIZERS["qwen"])
    assert first is not None
    assert first.batches is not None
    assert second is not None
    assert second.batches is not None
    expected, file = first.encode_all(several), tmp_path / "rows.pieces"
    first.batches.table.save(file)
    second.batches.table.load(file)
    assert len(second.batches.table) == len(first.batches.table)
    second.batches.table.ids_of = dict[bytes, bytes]().__getitem__
    assert second.encode_all(several) == expected


def test_saved_pieces_that_were_damaged_are_asked_for_again(tmp_path: Path) -> None:
    encoder, file = byte_pairs(TOKENIZERS["qwen"]), tmp_path / "rows.pieces"
    assert encoder is not None
    assert encoder.batches is not None
    table = encoder.batches.table
    known, expected = len(table), encoder.encode_all(["one two"])
    table.load(file)
    table.save(file)
    content = bytearray(file.read_bytes())
    for at in range(0, len(content), 97):
        file.write_bytes(content[:at])
        table.load(file)
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        table.load(file)
        assert encoder.encode_all(["one two"]) == expected
        assert len(table) >= known


REFUSED: Mapping[str, Any] = {
    "dropout": {"model__dropout": 0.1},
    "a normalizer that changes texts": {"normalizer": {"type": "Lowercase"}},
    "offsets that are trimmed": {
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    },
    "an added token that takes white space with it": {
        "added_tokens": [
            {"id": 1, "content": "<|im_start|>", "special": True, "normalized": False}
            | {"single_word": False, "lstrip": True, "rstrip": False}
        ]
    },
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_tokenizers_that_do_more_than_cut_and_merge_are_left_to_the_library(changes: Mapping[str, Any]) -> None:
    assert byte_pairs(tokenizer_of(EXPRESSIONS["qwen"], **changes)) is None


@pytest.mark.parametrize(
    "expression",
    [r"\p{L}+", r"(\p{L}+|\s+|[^\p{L}\s]+)", r"\p{Han}+|[^\p{Han}]+", r"\w+|\W+", r"[\p{L}&&[^a]]+|[^\p{L}]+|a"],
    ids=["leaves text between", "has groups", "names scripts", "uses classes of the library", "cuts classes"],
)
def test_expressions_that_are_not_proved_are_left_to_the_library(expression: str) -> None:
    """Or they give the same ids."""
    tokenizer = tokenizer_of(expression)
    encoder = byte_pairs(tokenizer)
    for text in CORPUS:
        expected = array("i", tokenizer.encode(text).ids).tobytes()
        assert encoder is None or encoder.encode(text) in (None, expected)


def test_a_vocabulary_without_all_bytes_or_merges_is_left_to_the_library() -> None:
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, "a"))
    assert byte_pairs(words) is None
    few = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0}, []))
    few.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert byte_pairs(few) is None


TEXTS = ["I'm 12 années old: 日本語 🙂 ½ x² İ\u0301", "plain 'SS text\n\n  don’t", "<|im_start|>a<|im_end|>x\x00"]  # noqa: RUF001  meant


@pytest.mark.parametrize("name", TOKENIZERS)
def test_an_encoder_that_was_proved_before_gives_the_same_ids_and_does_not_prove_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, kept = TOKENIZERS[name], tmp_path / "cache.proof"
    assert proved_pairs.load(kept, lambda: tokenizer) is None
    proved, added = byte_pairs(tokenizer), added_tokens(tokenizer)
    assert proved is not None
    expected = proved.encode_all(TEXTS)
    assert any(expected)
    proved_pairs.save(kept, proved, added)
    found, kept_tokens = proved_pairs.load(kept, lambda: tokenizer) or pytest.fail("nothing is kept")
    assert kept_tokens == added
    assert found.traits == proved.traits
    assert found.checked == proved.checked
    assert (found.batches is None) == (proved.batches is None)
    monkeypatch.setattr(BytePairs, "_cuts", None)
    assert found.encode_all(TEXTS) == expected


@pytest.mark.parametrize("told", [False, True], ids=["kept in a file", "told by another process"])
def test_what_was_met_before_is_encoded_without_the_tokenizer(tmp_path: Path, told: bool) -> None:  # noqa: FBT001
    tokenizer, kept, pieces = TOKENIZERS["qwen"], tmp_path / "cache.proof", tmp_path / "cache.pieces"
    proved = byte_pairs(tokenizer)
    assert proved is not None
    assert proved.batches is not None
    expected = proved.encode_all(TEXTS)
    proved_pairs.save(kept, byte_pairs(tokenizer) or proved if told else proved, added_tokens(tokenizer))
    proved.batches.table.save(pieces)
    asked: list[str] = []

    def load() -> Tokenizer:
        asked.append("tokenizer")
        return tokenizer

    found, _ = proved_pairs.load(kept, load) or pytest.fail("nothing is kept")
    assert found.batches is not None
    if told:
        another, here = (Encoder(load, one, added_tokens(tokenizer)) for one in (proved, found))
        here.learn(another.met())
        assert another.met() == Met({}, {})
    else:
        found.batches.table.load(pieces)
    assert found.encode_all(TEXTS) == expected
    assert not asked
    assert found.encode("something else") == array("i", tokenizer.encode("something else").ids).tobytes()
    assert asked


def test_a_proof_that_is_damaged_or_of_other_code_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, kept = TOKENIZERS["qwen"], tmp_path / "cache.proof"
    proved = byte_pairs(tokenizer)
    assert proved is not None
    proved_pairs.save(kept, proved, added_tokens(tokenizer))
    content = kept.read_bytes()
    for damaged in (b"", content[:-1], content.replace(b'"normalizes": false', b'"normalizes": true ')):
        kept.write_bytes(damaged)
        assert proved_pairs.load(kept, lambda: tokenizer) is None
    kept.write_bytes(content)
    assert proved_pairs.load(kept, lambda: tokenizer) is not None
    monkeypatch.setattr(proved_pairs, "_by", lambda: {"code": "another"})
    assert proved_pairs.load(kept, lambda: tokenizer) is None
