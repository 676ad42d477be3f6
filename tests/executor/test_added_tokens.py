"""Tokens that a model adds, and longer positions: trained, resumed and merged on a very small model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.kinds.model import KIND, Model
from executor.merging.lora_merge import merge
from executor.methods.sft import Sft
from executor.models.adapter_fields import Adapter
from executor.models.model_files import initialise
from executor.tokens.token_files import TRAIN, read_columns
from executor.tokens.vocabulary import extend
from executor.workers.task import Input
from executor.workers.worker_reports import Reporter
from planner.structure import settings_of
from state.diagnostic import ProblemError
from tests.executor.test_training import (
    ARCHITECTURE,
    BASIC,
    TEMPLATE,
    Conversation,
    Laboratory,
    _fresh,
    _task,
    laboratory,
    resumed,
    run,
    stopped,
)

__all__ = ["laboratory"]
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

ADDED = ("<|case|>", "<|close|>")
SPECIAL: dict[str, Any] = {"pad_token": "<|fill|>", "additional_special_tokens": ["<|call|>"]}
YARN: dict[str, Any] = {"rope_type": "yarn", "factor": 4.0}
CASES: list[Conversation] = [
    [("user", f"What is {one}<|case|>"), ("assistant", f"It is {one}<|case|><|close|>")] for one in range(4)
]
ROWS = Adapter(r=4, trainable_tokens=(*ADDED, "<|call|>"))
SHORT = evolve(BASIC, max_steps=3, sequence_len=64)


def changed(laboratory: Laboratory, *, tied: bool, **fields: Any) -> Laboratory:
    """The laboratory with a model whose tokens were added to weights that lie in a folder, as an apply does it."""
    source = laboratory.folder / f"source-{tied}"
    if not source.exists():
        source.mkdir()
        architecture = {**ARCHITECTURE, "tie_word_embeddings": tied}
        initialise(architecture, 1, laboratory.folder / "tokenizer", TEMPLATE, source)
    model = Model(source=str(source), **fields)
    task = _task(_fresh(laboratory.folder, "changed"), "model.tiny", settings_of(model), {})
    made = KIND.build(task, Reporter(task.address, lambda _: None))
    found = Input("model.tiny", made.output_digest, task.output, task.settings, made.facts)
    return Laboratory(task.output_folder.parent, found)


def tensors(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_an_adapter_trains_the_rows_of_new_tokens_and_no_others(laboratory: Laboratory, *, tied: bool) -> None:
    extended = changed(laboratory, tied=tied, tokens=ADDED, special_tokens=SPECIAL, rope_scaling=YARN)
    base = Path(extended.model.folder)
    source = tensors(laboratory.folder / f"source-{tied}")["model.embed_tokens.weight"]
    first = len(source)
    new: Any = extended.model.facts["added_tokens"]
    assert new == {"<|case|>": first, "<|close|>": first + 1, "<|call|>": first + 2, "<|fill|>": first + 3}
    before = tensors(base)
    assert before["model.embed_tokens.weight"][:first].equal(source)
    assert (before["model.embed_tokens.weight"][first:] - source.mean(0)).abs().max() < 1e-3

    stage = evolve(SHORT, adapter=ROWS, bf16=not tied)
    task = extended.task(stage, extended.tokens(CASES, stage))
    rows = read_columns(Path(task.one("tokens").folder), TRAIN)["input_ids"]
    assert [max(row) for row in rows] == [first + 1] * len(CASES)
    straight, broken = run(task), extended.task(stage, task.one("tokens"))
    again = run(resumed(broken, stopped(broken, 1)))
    assert again.outcome.output_digest == straight.outcome.output_digest

    merged = task.output_folder.parent / "merged"
    merge(base, task.output_folder, merged, "float32")
    after = tensors(merged)
    matrices = ["model.embed_tokens.weight"] if tied else ["model.embed_tokens.weight", "lm_head.weight"]
    for name in matrices:
        moved = (after[name] != before[name]).any(1).nonzero().flatten().tolist()
        assert moved == [first, first + 1, first + 2], name
    config = json.loads((merged / "config.json").read_bytes())
    positions = {"original_max_position_embeddings": 256, "rope_theta": 10000.0, **YARN}
    assert (config["vocab_size"], config["rope_parameters"]) == (first + 4, positions)
    assert config["pad_token_id"] == first + 3


def test_all_weights_are_trained_with_the_new_rows_among_them(laboratory: Laboratory) -> None:
    extended = changed(laboratory, tied=True, tokens=ADDED)
    made = run(extended.task(SHORT, extended.tokens(CASES, SHORT)))
    before, after = tensors(Path(extended.model.folder)), tensors(made.task.output_folder)
    name = "model.embed_tokens.weight"
    assert (before[name] != after[name]).any(1)[-2:].all()


@pytest.mark.parametrize(
    ("tied", "stage", "told"),
    [
        (False, evolve(SHORT, adapter=Adapter(r=4)), "Rows of `model.embed_tokens` for <|case|>, <|close|> are new,"),
        (
            True,
            evolve(SHORT, adapter=Adapter(r=4, modules_to_save=("embed_tokens",))),
            "Rows of `lm_head` for <|case|>",
        ),
        (True, evolve(SHORT, unfrozen_parameters=("model.layers.1",)), "Rows of `model.embed_tokens` for <|case|>"),
        (True, evolve(SHORT, adapter=Adapter(trainable_tokens=(*ADDED, "<|x|>"))), "names <|x|>, which the tokenizer"),
    ],
)
def test_new_rows_that_nothing_would_train_are_refused(
    laboratory: Laboratory, *, tied: bool, stage: Sft, told: str
) -> None:
    extended = changed(laboratory, tied=tied, tokens=ADDED)
    with pytest.raises(ProblemError, match=re.escape(told)):
        run(extended.task(stage, extended.tokens(CASES, stage)))


def test_what_was_trained_on_the_model_is_not_asked_again(laboratory: Laboratory) -> None:
    """An adapter on an adapter: the rows were trained below it, and it starts from the two folded together."""
    extended = changed(laboratory, tied=False, tokens=ADDED)
    tokens = extended.tokens(CASES, SHORT)
    first = run(extended.task(evolve(SHORT, adapter=evolve(ROWS, trainable_tokens=ADDED)), tokens))
    task = extended.task(evolve(SHORT, adapter=Adapter(r=4)), tokens)
    below = Input("train.first", "", str(first.task.output_folder), first.task.settings, first.outcome.facts)
    second = run(evolve(task, inputs={**task.inputs, "model": (extended.model, below)}))
    losses: list[Any] = [one.outcome.metrics["train_loss"] for one in (first, second)]
    assert losses[1] < losses[0]


def test_a_vocabulary_grows_as_transformers_has_it_grow(laboratory: Laboratory, tmp_path: Path) -> None:
    from transformers import AddedToken, AutoTokenizer

    special = {"eos_token": "<|end|>", "pad_token": "<|pad|>", "additional_special_tokens": ["<|call|>"]}
    extend(laboratory.folder / "tokenizer", {"tokens": ADDED, "special_tokens": special}, tmp_path)
    theirs: Any = AutoTokenizer.from_pretrained(laboratory.folder / "tokenizer")
    theirs.add_tokens([AddedToken(one, normalized=False) for one in ADDED])
    theirs.add_special_tokens(
        {**special, "additional_special_tokens": ["<|call|>"]}, replace_extra_special_tokens=False
    )
    ours: Any = AutoTokenizer.from_pretrained(tmp_path)
    text = "one<|case|> two<|close|><|call|>three<|end|><|pad|>"
    assert set(ours.get_vocab()) == set(theirs.get_vocab())
    assert (ours.eos_token, ours.pad_token_id, ours.all_special_tokens) == (
        theirs.eos_token, theirs.pad_token_id, theirs.all_special_tokens,
    )  # fmt: skip
    assert ours.decode(ours(text).input_ids, skip_special_tokens=True) == "one<|case|> two<|close|>three"
    theirs.save_pretrained(tmp_path / "again")
    for folder in (tmp_path, tmp_path / "again"):
        assert AutoTokenizer.from_pretrained(folder).tokenize(text) == theirs.tokenize(text)


@pytest.mark.parametrize(
    ("scaling", "told"),
    [
        ({"rope_type": "yarn"}, "Missing required keys in `rope_parameters`"),
        ({"rope_type": "yarn", "factor": "four"}, "transformers refuses this `rope_scaling`"),
        ({"rope_type": "longrope", "factor": 2.0}, "Missing required keys in `rope_parameters`"),
    ],
)
def test_scaling_that_transformers_refuses_is_a_diagnostic(laboratory: Laboratory, scaling: Any, told: str) -> None:
    with pytest.raises(ProblemError, match=re.escape(told)):
        changed(laboratory, tied=True, rope_scaling=scaling)
