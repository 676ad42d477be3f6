"""Rows of answers: what is written of them, what a length limit does, and that they are encoded once."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.data.dataset_fields import Dataset
from executor.data.examples import IGNORED
from executor.tokens.encoding import Encoded
from executor.tokens.row_layout import BETTER, WORSE, positions, sequence_length
from executor.tokens.supervision import summarise
from executor.tokens.token_files import TRAIN, VALIDATION, read_columns
from state.canonical import Plain
from state.diagnostic import Place, ProblemError
from tests.executor.test_tokenizing import build, folder, text_of  # noqa: F401  a fixture is found by its name

PAIRS = Dataset(source="rows.jsonl", type="preference")
JUDGED = Dataset(source="rows.jsonl", type="kto")
PROMPTS = Dataset(source="rows.jsonl", type="prompt")
STEPS = Dataset(source="rows.jsonl", type="stepwise")
END = "<|im_end|>"


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, Plain]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def columns(folder: Path, name: str = TRAIN) -> list[dict[str, Any]]:  # noqa: F811
    """The rows that were written, ids as text."""
    found = read_columns(folder / "output", name)
    rows = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    return [
        {name: text_of(value, folder) if isinstance(value, list) else value for name, value in row.items()}
        for row in rows
    ]


def test_pairs_are_written_once_and_encoded_once(folder: Path) -> None:  # noqa: F811
    rows = [pair("Hi?", " Yes", " No"), pair("Bye?", " Bye", " Hm")]
    outcome = build(folder, rows, dataset=PAIRS, layout="pairs")
    assert columns(folder) == [
        {"prompt_ids": "Hi?", "chosen_ids": f" Yes{END}", "rejected_ids": f" No{END}"},
        {"prompt_ids": "Bye?", "chosen_ids": f" Bye{END}", "rejected_ids": f" Hm{END}"},
    ]
    counted = ("rows", "tokens", "trained_tokens", "longest", "encoded_rows")
    assert [outcome.facts[name] for name in counted] == [2, 2 * 7 + 18, 18, 9, 2]
    again = build(folder, [*rows, pair("New?", " a", " b")], dataset=PAIRS, layout="pairs")
    assert again.facts["encoded_rows"] == 1
    assert build(folder, rows, dataset=PAIRS, layout="pairs").output_digest == outcome.output_digest
    other = build(folder, [rows[0], pair("Bye?", " Hm", " Bye")], dataset=PAIRS, layout="pairs")
    assert other.output_digest != outcome.output_digest


def test_verdicts_are_written(folder: Path) -> None:  # noqa: F811
    rows = [{"prompt": "Hi?", "completion": " Yes", "label": at} for at in (True, False)]
    outcome = build(folder, rows, dataset=JUDGED, layout="judged")
    assert columns(folder) == [
        {"prompt_ids": "Hi?", "completion_ids": f" Yes{END}", "label": True},
        {"prompt_ids": "Hi?", "completion_ids": f" Yes{END}", "label": False},
    ]
    turned = build(folder, rows[::-1], dataset=JUDGED, layout="judged")
    assert turned.output_digest != outcome.output_digest


def test_prompts_come_with_their_whole_row(folder: Path) -> None:  # noqa: F811
    rows: list[dict[str, Any]] = [
        {"prompt": [{"role": "user", "content": "2+2?"}], "answer": "4"},
        {"prompt": "3?", "answer": "3"},
    ]
    outcome = build(folder, rows, dataset=PROMPTS, layout="prompts")
    assert columns(folder) == [
        {
            "prompt_ids": f"<|im_start|>user 2+2?{END}<|im_start|>assistant ",
            "row": json.dumps({"answer": "4", "prompt": [{"content": "2+2?", "role": "user"}]}),
        },
        {"prompt_ids": "3?", "row": json.dumps({"answer": "3", "prompt": "3?"})},
    ]
    rows[1]["answer"] = "4"
    assert build(folder, rows, dataset=PROMPTS, layout="prompts").output_digest != outcome.output_digest


def test_prompts_that_are_left_out_take_their_rows_along(folder: Path) -> None:  # noqa: F811
    rows = [{"prompt": "a" * 70, "answer": "a"}, {"prompt": "b", "answer": "b"}]
    build(folder, rows, dataset=PROMPTS, layout="prompts", excess_length_strategy="drop")
    assert columns(folder) == [{"prompt_ids": "b", "row": json.dumps({"answer": "b", "prompt": "b"})}]


def test_steps_are_judged_at_their_ends(folder: Path) -> None:  # noqa: F811
    rows = [{"prompt": "a", "completions": ["b", "cd"], "labels": [True, False]}]
    build(folder, rows, dataset=STEPS, layout="steps")
    found = read_columns(folder / "output", TRAIN)
    assert text_of(found["input_ids"][0], folder) == "ab\ncd\n"
    assert found["labels"] == [[IGNORED, IGNORED, BETTER, IGNORED, IGNORED, WORSE]]


LONG = [pair("a" * 10, "b" * 60, "c" * 5), pair("a" * 70, "b", "c"), pair("a" * 62, "be", "bd"), pair("a", "b", "c")]


def test_a_pair_is_too_long_if_either_answer_is(folder: Path) -> None:  # noqa: F811
    with pytest.raises(ProblemError) as caught:
        build(folder, LONG, dataset=PAIRS, layout="pairs")
    assert [one.place.line for one in caught.value.diagnostics] == [1, 2, 3]
    assert "This row has 71 tokens, more than `sequence_len` = 64" in caught.value.diagnostics[0].detail


def test_long_pairs_are_left_out(folder: Path) -> None:  # noqa: F811
    outcome = build(folder, LONG, dataset=PAIRS, layout="pairs", excess_length_strategy="drop")
    assert [one["prompt_ids"] for one in columns(folder)] == ["a"]
    assert {name: outcome.facts[name] for name in ("rows", "truncated", "dropped", "untrained")} == {
        "rows": 1,
        "truncated": 0,
        "dropped": 3,
        "untrained": 0,
    }


def test_answers_are_cut_and_pairs_left_out_of_which_nothing_different_remains(folder: Path) -> None:  # noqa: F811
    rows = [*LONG, pair("a" * 63, "b", "bb")]
    outcome = build(folder, rows, dataset=PAIRS, layout="pairs", excess_length_strategy="truncate")
    assert columns(folder) == [
        {"prompt_ids": "a" * 10, "chosen_ids": "b" * 54, "rejected_ids": "c" * 5 + END},
        {"prompt_ids": "a" * 62, "chosen_ids": "be", "rejected_ids": "bd"},
        {"prompt_ids": "a", "chosen_ids": f"b{END}", "rejected_ids": f"c{END}"},
    ]
    assert {name: outcome.facts[name] for name in ("rows", "truncated", "dropped", "untrained", "longest")} == {
        "rows": 3,
        "truncated": 4,
        "dropped": 2,
        "untrained": 2,
        "longest": 64,
    }


def test_some_pairs_are_held_back(folder: Path) -> None:  # noqa: F811
    rows = [pair(str(at), "b", "c") for at in range(8)]
    outcome = build(folder, rows, dataset=PAIRS, layout="pairs", val_set_size=0.25)
    training, held_back = columns(folder), columns(folder, VALIDATION)
    assert (len(training), len(held_back), outcome.facts["validation_rows"]) == (6, 2, 2)
    assert sorted(one["prompt_ids"] for one in (*training, *held_back)) == [str(at) for at in range(8)]


@given(st.integers(0, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 30))
def test_a_summary_counts_what_a_limit_leaves(prompt: int, better: int, worse: int, limit: int) -> None:
    labels = array("i", [IGNORED] * prompt + [BETTER] * better + [WORSE] * worse)
    found = summarise(Place("a", 1), Encoded(labels, labels), limit, "pairs")
    assert found.length == sequence_length(labels, "pairs") == max(positions(labels, "pairs")) + 1
    assert found.length == prompt + max(better, worse)
    room = max(0, limit - prompt)
    assert (found.trained, found.trained_kept) == (better + worse, min(better, room) + min(worse, room))
