"""Measurements compared with what plain torch makes of one row at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from executor.evaluation.evaluating import Prediction, answer, negative_log_likelihood
from executor.workers import events
from executor.workers.worker_reports import Reporter

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

VOCABULARY = 24
END = 2
ROWS = [list(range(3, 3 + length)) for length in (7, 2, 12, 5, 9, 3, 4)]
QUESTIONS = [
    [9, 4, 17, 3, 21, 8],
    [5],
    [11, 11, 6, 20, 3, 14, 7, 9, 22],
    [4, 8, 15, 16],
    [23, 19, 4, 8],
    [3, 12],
    [13] * 11,
]
NEW_TOKENS = 12


@pytest.fixture(scope="module")
def model() -> Any:
    """A model whose answers depend on the question, and of which some end early."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
        bos_token_id=1,
        eos_token_id=END,
    )
    return LlamaForCausalLM(config).train(mode=False)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Every id is a word: `w5`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    words = [*special.values(), *(f"w{one}" for one in range(3, VOCABULARY))]
    backend = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, special["pad_token"]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    make: Any = PreTrainedTokenizerFast
    return make(tokenizer_object=backend, **special)


def _reporter(said: list[events.WorkerEvent]) -> Reporter:
    return Reporter("eval.it", said.append)


def _columns() -> dict[str, Sequence[Any]]:
    """Every row trains from its second token on, but for one in the middle of long rows."""
    labels = [[token if at != 4 else -100 for at, token in enumerate(row)] for row in ROWS]
    return {"input_ids": ROWS, "labels": labels, "seq_lengths": [[len(row)] for row in ROWS]}


def _losses(model: Any) -> list[float]:
    import torch

    found = []
    for row, labels in zip(ROWS, _columns()["labels"], strict=True):
        with torch.no_grad():
            likelihoods = model(torch.tensor([row])).logits[0].log_softmax(-1)
        found += [-float(likelihoods[at - 1, row[at]]) for at in range(1, len(row)) if labels[at] != -100]
    return found


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_the_loss_is_the_mean_over_labelled_tokens(model: Any, batch_size: int) -> None:
    losses, said = _losses(model), list[events.WorkerEvent]()
    measured = negative_log_likelihood(model, _columns(), batch_size, _reporter(said))
    expected = sum(losses) / len(losses)
    assert measured["loss"] == pytest.approx(expected, abs=1e-5)
    assert measured["perplexity"] == pytest.approx(math.exp(expected))
    last = said[-1]
    assert isinstance(last, events.Progress)
    assert (last.done, last.total, last.unit) == (7, 7, "rows")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_token_accuracy_is_the_share_of_labelled_tokens_that_are_the_likeliest(model: Any, batch_size: int) -> None:
    import torch

    labels = []
    for row, ids in enumerate(ROWS):
        with torch.no_grad():
            likeliest = model(torch.tensor([ids])).logits[0].argmax(-1).tolist()
        right = [likeliest[0], *likeliest[:-1]]
        # The first token has nothing before it and never counts; in every second row, nor do the last two labels hit.
        labels.append(right if row % 2 else [*right[:-2], *((one + 1) % VOCABULARY for one in right[-2:])])
    counted = sum(len(ids) - 1 for ids in ROWS)
    missed = sum(min(2, len(ids) - 1) for ids in ROWS[::2])
    columns = {"input_ids": ROWS, "labels": labels, "seq_lengths": [[len(ids)] for ids in ROWS]}
    measured = negative_log_likelihood(model, columns, batch_size, _reporter([]))
    assert measured["token_accuracy"] == (counted - missed) / counted


def _continued(model: Any, tokenizer: Any, question: Sequence[int]) -> str:
    """The most likely tokens one after the other, each from a fresh look at everything before it."""
    import torch

    ids = list(question)
    for _ in range(NEW_TOKENS):
        with torch.no_grad():
            token = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if token == END:
            break
        ids.append(token)
    said: str = tokenizer.decode(ids[len(question) :], skip_special_tokens=True)
    return said


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_answers_do_not_depend_on_who_else_is_asked(model: Any, tokenizer: Any, batch_size: int) -> None:
    said: list[events.WorkerEvent] = []
    questions: dict[str, Sequence[Any]] = {
        "input_ids": QUESTIONS,
        "reference": [f"reference {at}" for at in range(len(QUESTIONS))],
    }
    answers = answer(model, tokenizer, questions, batch_size, NEW_TOKENS, _reporter(said))
    expected = [_continued(model, tokenizer, question) for question in QUESTIONS]
    assert [one.answer for one in answers] == expected
    assert [one.reference for one in answers] == questions["reference"]
    assert [one.question for one in answers] == [" ".join(f"w{one}" for one in question) for question in QUESTIONS]
    assert len(set(expected)) > len(expected) // 2
    assert {len(one.split()) < NEW_TOKENS for one in expected} == {True, False}
    last = said[-1]
    assert isinstance(last, events.Progress)
    assert (last.done, last.total, last.unit) == (7, 7, "answers")


def test_space_around_an_answer_does_not_count() -> None:
    assert Prediction("q", " 2021-03-03\n", "2021-03-03").matches
    assert not Prediction("q", "2021-03-3", "2021-03-03").matches
