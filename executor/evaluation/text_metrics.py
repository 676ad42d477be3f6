"""How near answers come to their references: F1, BLEU and ROUGE, each from 0 to 1, as the field computes them.

- F1: words in common, as SQuAD's own evaluation has it (https://arxiv.org/abs/1606.05250): without case, punctuation
  and articles; the mean over answers.
- BLEU: of all answers together (https://aclanthology.org/P02-1040), with the tokens of mteval-v13a and the smoothing
  that sacreBLEU takes by default (https://aclanthology.org/W18-6319); a hundredth of what that program prints.
- ROUGE: the mean F-measure of common words, pairs of words, or the longest common subsequence
  (https://aclanthology.org/W04-1013), with the tokens of Google's rouge-score, without stemming.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

Pairs: TypeAlias = Sequence[tuple[str, str]]
"""Answers, each with its reference."""

ORDER = 4
"""The longest n-gram of BLEU."""
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MTEVAL = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
"""mteval-v13a.pl sets symbols apart, but leaves full stops and commas within numbers."""
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))


def f1(pairs: Pairs) -> float:
    """The mean F1 of the words of answer and reference."""
    return _mean(_f_measure(_overlap(*(_ngrams(_squad(text), 1) for text in pair))) for pair in pairs)


def bleu(pairs: Pairs) -> float:
    """Corpus BLEU."""
    answers, references = ([_mteval(text) for text in texts] for texts in zip(*pairs, strict=True))
    said, wanted = sum(map(len, answers)), sum(map(len, references))
    logarithms, smoothing, found = [], 1.0, False
    for size in range(1, ORDER + 1):
        both = [(_ngrams(one, size), _ngrams(other, size)) for one, other in zip(answers, references, strict=True)]
        matches = sum((one & other).total() for one, other in both)
        possible = sum(one.total() for one, _ in both)
        found = found or matches > 0
        if not possible or not found:
            return 0.0
        smoothing *= 1.0 if matches else 2.0
        logarithms.append(math.log(matches / possible if matches else 1 / (smoothing * possible)))
    brevity = min(0.0, 1 - wanted / said)
    return math.exp(brevity + sum(logarithms) / ORDER)


def rouge_1(pairs: Pairs) -> float:
    """The mean F-measure of words in common."""
    return _mean(_f_measure(_overlap(*(_ngrams(_words(text), 1) for text in pair))) for pair in pairs)


def rouge_2(pairs: Pairs) -> float:
    """The mean F-measure of pairs of words in common."""
    return _mean(_f_measure(_overlap(*(_ngrams(_words(text), 2) for text in pair))) for pair in pairs)


def rouge_l(pairs: Pairs) -> float:
    """The mean F-measure of the longest common subsequence of words."""
    words = ((_words(answer), _words(reference)) for answer, reference in pairs)
    return _mean(_f_measure((_longest_common(*both), len(both[0]), len(both[1]))) for both in words)


METRICS: Mapping[str, Callable[[Pairs], float]] = {
    "f1": f1,
    "bleu": bleu,
    "rouge1": rouge_1,
    "rouge2": rouge_2,
    "rougeL": rouge_l,
}
"""By the names that recipes use."""


def _squad(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _words(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


def _mteval(text: str) -> list[str]:
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    text = f" {text} "
    for pattern, apart in _MTEVAL:
        text = pattern.sub(apart, text)
    return text.split()


def _ngrams(tokens: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[at : at + size]) for at in range(len(tokens) - size + 1))


def _overlap(answer: Counter[tuple[str, ...]], reference: Counter[tuple[str, ...]]) -> tuple[int, int, int]:
    return (answer & reference).total(), answer.total(), reference.total()


def _f_measure(counts: tuple[int, int, int]) -> float:
    """2PR / (P + R), given what is common, what was said and what was wanted."""
    common, said, wanted = counts
    return 2 * common / (said + wanted) if common else 0.0


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, row by row of the usual table."""
    row = [0] * (len(other) + 1)
    for token in one:
        above = row
        row = [0]
        for at, against in enumerate(other):
            row.append(above[at] + 1 if token == against else max(above[at + 1], row[at]))
    return row[-1]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
