"""Rows come back as the text that they are, in parts that are treated alike."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.data.examples import IGNORED
from executor.tokens.decoding import Part, parts
from executor.tokens.encoding import Encoded

if TYPE_CHECKING:
    from tokenizers import Tokenizer

tokenizers = pytest.importorskip("tokenizers")

SPECIAL = ["<s>", "</s>"]
EVERYTHING = 1_000_000


def byte_level() -> Tokenizer:
    """A token for each byte."""
    tokenizer: Tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([], trainer)
    return tokenizer


def word_pieces() -> Tokenizer:
    """Words with the space before them, of which the first one loses it when it is decoded alone."""
    vocabulary = {"▁Hi": 0, "▁there": 1, "▁you": 2}
    tokenizer: Tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "▁Hi"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.decoder = tokenizers.decoders.Metaspace()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


BYTES = byte_level()


def encoded(tokenizer: Tokenizer, *pieces: tuple[str, bool]) -> Encoded:
    """Pieces of a text with whether each is trained."""
    ids, labels = array("i"), array("i")
    for text, trained in pieces:
        own = tokenizer.encode(text, add_special_tokens=False).ids
        ids.extend(own)
        labels.extend(own if trained else [IGNORED] * len(own))
    return Encoded(ids, labels)


def test_special_tokens_stand_alone_and_labels_part_the_text() -> None:
    row = encoded(BYTES, ("<s><s>Hi ", False), ("日本</s>", True), ("\n", False))
    assert parts(BYTES, row, EVERYTHING) == (
        Part("<s>", trained=False, special=True, kept=True),
        Part("<s>", trained=False, special=True, kept=True),
        Part("Hi ", trained=False, special=False, kept=True),
        Part("日本", trained=True, special=False, kept=True),
        Part("</s>", trained=True, special=True, kept=True),
        Part("\n", trained=False, special=False, kept=True),
    )


def test_what_lies_behind_the_limit_is_no_longer_kept() -> None:
    row = encoded(BYTES, ("Hi", False), ("Hello", True))
    assert [(part.text, part.trained, part.kept) for part in parts(BYTES, row, 4)] == [
        ("Hi", False, True),
        ("He", True, True),
        ("llo", True, False),
    ]


def test_a_space_that_a_decoder_drops_at_the_beginning_stays_between_parts() -> None:
    tokenizer = word_pieces()
    row = encoded(tokenizer, ("Hi", False), ("there you", True), ("</s>", True))
    assert [part.text for part in parts(tokenizer, row, EVERYTHING)] == ["Hi", " there you", "</s>"]


def test_a_row_without_tokens_has_no_parts() -> None:
    assert parts(BYTES, Encoded(array("i"), array("i")), 8) == ()


@given(pieces=st.lists(st.tuples(st.text(max_size=4) | st.sampled_from(SPECIAL), st.booleans()), max_size=6))
def test_all_parts_together_are_the_row(pieces: list[tuple[str, bool]]) -> None:
    row = encoded(BYTES, *pieces)
    assert "".join(part.text for part in parts(BYTES, row, EVERYTHING)) == "".join(text for text, _ in pieces)
