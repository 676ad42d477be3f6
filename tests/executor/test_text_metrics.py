"""Scores of answers: examples that can be computed by hand, and what must hold for all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.evaluation.text_metrics import METRICS, bleu, f1, rouge_1, rouge_2, rouge_l

WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat", "3.5", ",", "again", "."]), max_size=9).map(
    " ".join
)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4)


def test_f1_counts_words_without_case_punctuation_and_articles() -> None:
    assert f1([("The cat, sat!", "a CAT sat")]) == 1
    assert f1([("cat cat", "cat dog"), ("", "cat")]) == 0.25
    assert f1([("it is in the year 1066", "1066")]) == 2 * 1 / (5 + 1)


def test_bleu_is_the_geometric_mean_of_four_precisions_over_all_answers() -> None:
    answer, reference = "the cat sat on the mat .", "the cat sat on a mat ."
    assert bleu([(answer, reference)]) == pytest.approx((6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** 0.25)
    both = (6 + 1) / (7 + 1) * 4 / 6 * 2 / 5 * 1 / 4
    assert bleu([(answer, reference), ("yes", "yes")]) == pytest.approx(both**0.25)


def test_bleu_smooths_what_has_no_match_and_punishes_brevity() -> None:
    # No 3-gram and no 4-gram in common: 1/2 and 1/4 of a match, as in sacreBLEU.
    assert bleu([("a b x c d", "a b y c d")]) == pytest.approx((4 / 5 * 2 / 4 * 1 / (2 * 3) * 1 / (4 * 2)) ** 0.25)
    assert bleu([("a b c d", "a b c d e f")]) == pytest.approx(math.exp(1 - 6 / 4))
    assert bleu([("a b c", "a b c")]) == bleu([("x y z v", "a b c d")]) == bleu([("", "a")]) == 0


def test_bleu_sets_punctuation_apart_but_not_within_numbers() -> None:
    assert bleu([("It costs 3.50, really.", "It costs 3.50 , really .")]) == pytest.approx(1)
    assert bleu([("It costs 3.50 , really .", "It costs 3 . 50 , really .")]) < 1


def test_rouge_takes_words_pairs_and_the_longest_common_subsequence() -> None:
    pair = [("police killed the gunman", "the gunman police killed!")]
    assert (rouge_1(pair), rouge_2(pair), rouge_l(pair)) == (1, 2 * 2 / (3 + 3), 2 * 2 / (4 + 4))


@given(PAIRS)
def test_every_score_is_between_nothing_and_all(pairs: list[tuple[str, str]]) -> None:
    assert all(0 <= metric(pairs) <= 1 + 1e-12 for metric in METRICS.values())


@given(st.lists(WORDS.filter(lambda text: "cat" in text and len(text.split()) >= 4), min_size=1, max_size=4))
def test_answers_that_are_the_references_have_the_full_score_where_there_are_enough_words(texts: list[str]) -> None:
    pairs = [(text, text) for text in texts]
    assert f1(pairs) == rouge_1(pairs) == rouge_l(pairs) == 1
    assert bleu(pairs) == pytest.approx(1)
