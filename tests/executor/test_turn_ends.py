"""Which tokens that end a turn are trained."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.data.chat_messages import RowError
from executor.templates import built_in
from executor.templating.chat_template import compile_template
from executor.templating.turn_ends import TrainOnEos, with_ends

pytest.importorskip("jinja2")

CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you", "train": False},
    {"role": "user", "content": "Again?"},
    {"role": "assistant", "content": "No"},
    {"role": "user", "content": "Oh"},
]
RULES: dict[TrainOnEos, list[str]] = {
    "turn": ["Hello<|im_end|>", "No<|im_end|>"],
    "none": ["Hello", "No"],
    "last": ["Hello", "No", "<|im_end|>"],
    "all": ["<|im_end|>", "Hello<|im_end|>", "<|im_end|>", "<|im_end|>", "<|im_end|>", "No<|im_end|>", "<|im_end|>"],
}


def trained(chat: list[dict[str, Any]], rule: TrainOnEos, eos: str = "</s>") -> list[str]:
    template = compile_template(built_in()["chatml"].text, {"eos_token": eos}, ["<|im_start|>", "<|im_end|>"])
    rendered = template.conversation(chat, frozenset({"assistant"}), train_on_eos=rule)
    return [rendered.text[start:end] for start, end in rendered.spans]


@pytest.mark.parametrize("eos", ["</s>", "<|im_end|>"])
@pytest.mark.parametrize("rule", RULES)
def test_ends_of_turns_are_trained_as_the_rule_says(rule: TrainOnEos, eos: str) -> None:
    assert trained(CHAT, rule, eos) == RULES[rule]


def test_answers_without_words_train_nothing_without_their_ends() -> None:
    silent = [CHAT[0], {"role": "assistant", "content": ""}]
    assert trained(silent, "turn") == trained(silent, "last") == ["<|im_end|>"]
    with pytest.raises(RowError, match='yields no trained token: its answers are empty, and `train_on_eos` is "none"'):
        trained(silent, "none")


def test_the_end_of_the_tokenizer_counts_wherever_it_stands() -> None:
    assert with_ends("a</s>b;c</s>", [(0, 1)], "all", "</s>", ()) == ((0, 5), (8, 12))
    assert with_ends("a</s>b;c</s>", [(0, 1)], "last", "</s>", ()) == ((0, 1), (8, 12))
    assert with_ends("ab", [(0, 2)], "all", "", ()) == ((0, 2),)


@given(
    pieces=st.lists(st.tuples(st.sampled_from(["a", "b ", "<e>", "<e>\n", "<s>"]), st.booleans()), max_size=8),
    rule=st.sampled_from(["all", "last", "none"]),
)
def test_ranges_stay_in_order_and_words_stay_trained(pieces: list[tuple[str, bool]], rule: TrainOnEos) -> None:
    text, spans = "", []
    for piece, wanted in pieces:
        if wanted:
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    found = with_ends(text, spans, rule, "<e>", ("<e>", "<s>"))
    edges = [edge for span in found for edge in span]
    assert edges == sorted(set(edges))
    letters = {at for start, end in spans for at in range(start, end) if text[at] in "ab"}
    assert {at for start, end in found for at in range(start, end) if text[at] in "ab"} == letters
    if rule == "none":
        assert not any("<e>" in text[start:end] for start, end in found)
