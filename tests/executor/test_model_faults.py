"""Settings of a model that cannot be meant, and tokens that an adapter would not train: each refused at its line."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from executor import kinds
from executor.tokens.vocabulary import extended
from planner.recipe import parse
from state.diagnostic import ProblemError
from tests.executor.test_train_fields import NOTHING_AROUND

MODEL = '[model.tiny]\nsource = "tiny"\n'
TRAIN = """
[dataset.chats]
source = "chats.jsonl"
type = "chat_template"

[train.it]
method = "sft"
model = "model.tiny"
datasets = ["dataset.chats"]
learning_rate = 1e-3
"""
ADDED = MODEL + 'tokens = ["<|case|>"]\n' + TRAIN
FAULTS = {
    MODEL + 'tokens = ["one", "one"]': (
        "model.tiny.tokens: each token must be a text of its own.\nRemove what is empty or written twice."
    ),
    MODEL + "special_tokens = { eos_tokn = 3 }": (
        "model.tiny.special_tokens.eos_tokn: no such role of a token.\nDid you mean `eos_token`?"
    ),
    MODEL + "special_tokens = { eos_token = 3 }": (
        'model.tiny.special_tokens.eos_token: expected a text.\nFor instance "<|im_end|>".'
    ),
    MODEL + 'special_tokens = { additional_special_tokens = "<|a|>" }': (
        'model.tiny.special_tokens.additional_special_tokens: expected a list of texts.\nFor instance ["<|call|>"].'
    ),
    MODEL + 'rope_scaling = { type = "yarn", factor = 2 }': (
        "model.tiny.rope_scaling: `rope_type` must be one of linear, dynamic, yarn, longrope, llama3.\n"
        'For instance rope_type = "yarn".'
    ),
    MODEL + 'rope_scaling = { rope_type = "yarn", factor = "4" }': (
        "model.tiny.rope_scaling: `factor` must be a number of at least 1.\nFor instance factor = 4.0."
    ),
    '[model.tiny]\nconfig = { model_type = "llama" }\ntokenizer = "tiny"\n'
    'rope_scaling = { rope_type = "yarn", factor = 4 }': (
        "model.tiny.rope_scaling: random weights have their positions in `config`.\n"
        "Write `rope_parameters` into `config` instead."
    ),
    ADDED + "adapter = { r = 4 }": (
        "train.it.adapter: model.tiny adds <|case|>, and the adapter leaves their rows as they were drawn.\n"
        'Set trainable_tokens = ["<|case|>"], or name the embedding in `modules_to_save`.'
    ),
    ADDED + 'adapter.trainable_tokens = ["<|case|>"]\nadapter.modules_to_save = ["lm_head"]': (
        "train.it.adapter.trainable_tokens: all rows of `lm_head` are trained.\nRemove one of the two."
    ),
    ADDED + 'adapter.trainable_tokens = ["<|case|>"]\ndistributed = { strategy = "fsdp", processes = 2 }': (
        "train.it.adapter.trainable_tokens: single rows can be trained only where every process holds all of them.\n"
        "Use ddp, or ZeRO stage 1 or 2."
    ),
}
"""A recipe -> the detail and the hint; its last line is to blame, or the first of an adapter's."""


@pytest.mark.parametrize("recipe", FAULTS)
def test_what_cannot_be_meant_is_refused_at_its_line(recipe: str) -> None:
    with pytest.raises(ProblemError) as error:
        parse(recipe, "recipe.toml", kinds.load())
    found = error.value.diagnostics
    assert [f"{one.detail}\n{one.hint}" for one in found] == [FAULTS[recipe]]
    lines = recipe.splitlines()
    assert found[0].place.line == next((at for at, one in enumerate(lines, 1) if "adapter" in one), len(lines))


@pytest.mark.parametrize("how", ['trainable_tokens = ["<|case|>"]', 'modules_to_save = ["embed_tokens", "lm_head"]'])
def test_an_adapter_that_trains_what_is_new_is_fine(how: str) -> None:
    assert parse(f"{ADDED}adapter.{how}", "recipe.toml", kinds.load()).resources


def test_positions_that_an_architecture_does_not_tell_by_rotation_are_not_scaled(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "tiny").mkdir()
    save_file({}, tmp_path / "tiny" / "model.safetensors")
    (tmp_path / "tiny" / "tokenizer.json").write_text("{}")
    (tmp_path / "tiny" / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    recipe = parse(f'{MODEL}rope_scaling = {{ rope_type = "yarn", factor = 4.0 }}', "recipe.toml", kinds.load())
    resource = recipe.resources["model.tiny"]
    around = attrs.evolve(NOTHING_AROUND, folder=tmp_path, resources=recipe.resources)
    (found,) = resource.kind.probe(resource, around).diagnostics
    assert found.detail == "model.tiny: a model of the type gpt2 has no rotary positions to scale."
    assert found.place.line == 3


def test_code_of_a_hub_is_trusted_at_one_commit_only() -> None:
    recipe = parse('[model.tiny]\nsource = "org/name"\ntrust_remote_code = true', "recipe.toml", kinds.load())
    resource = recipe.resources["model.tiny"]
    (found,) = resource.kind.probe(resource, NOTHING_AROUND).diagnostics
    assert found.detail == "model.tiny trusts code of `org/name`, which may be other code tomorrow."
    assert found.place.line == 3


def test_a_plan_reads_rows_with_the_tokens_that_a_model_will_have(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    source = Path(__file__).parent.parent.parent / "examples" / "quickstart" / "tokenizer"
    settings = {"tokens": ("<|case|>",), "special_tokens": {}}
    folder = extended(source, settings, tmp_path)
    assert extended(source, settings, tmp_path) == folder
    assert [one.name for one in tmp_path.iterdir()] == [folder.name]
    assert tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode("<|case|>").tokens == ["<|case|>"]
    assert extended(source, {"tokens": (), "special_tokens": {}}, tmp_path) == source
    missing = tmp_path / "nothing" / "cache" / "tokenizers"
    elsewhere = extended(source, settings, missing)
    assert extended(source, settings, missing) == elsewhere
    assert {one.name: one.read_bytes() for one in elsewhere.iterdir()} == {
        one.name: one.read_bytes() for one in folder.iterdir()
    }
    assert not missing.parent.parent.exists()  # a plan makes no `.tune/`
